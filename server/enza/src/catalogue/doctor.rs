//! What `enza doctor` says: what it found, and what to do.

use super::Language;
use crate::doctor::{Found, Verdict};
use std::fmt::Display;

impl Language {
    pub(crate) const fn verdict(self, verdict: Verdict) -> &'static str {
        match (self, verdict) {
            (Self::English, Verdict::Ok) => "ok  ",
            (Self::English, Verdict::Warn) => "warn",
            (Self::English, Verdict::Bad) => "BAD ",
            (Self::Japanese, Verdict::Ok) => "よい",
            (Self::Japanese, Verdict::Warn) => "注意",
            (Self::Japanese, Verdict::Bad) => "だめ",
        }
    }

    /// `asked`: a phone has looked, too.
    pub(crate) const fn diagnosis(self, worst: Verdict, asked: bool) -> &'static str {
        match (self, worst) {
            (Self::English, Verdict::Ok) if asked => {
                "Nothing is wrong that can be seen from here and from the phone."
            }
            (Self::English, Verdict::Ok) => {
                "Nothing is wrong that can be seen from here. `enza doctor --outside` asks a phone how it looks from outside."
            }
            (Self::English, Verdict::Warn) if asked => "It can work. See the lines with an arrow.",
            (Self::English, Verdict::Warn) => {
                "It can work. See the lines with an arrow; `enza doctor --outside` asks a phone how it looks from outside."
            }
            (Self::English, Verdict::Bad) => {
                "Something keeps people out: begin with the first line that says BAD."
            }
            (Self::Japanese, Verdict::Ok) if asked => {
                "ここからも スマートフォンからも、見て わかる 問題は ありません。"
            }
            (Self::Japanese, Verdict::Ok) => {
                "ここから 見て わかる 問題は ありません。外から どう 見えるかは、`enza doctor --outside` で スマートフォンに 聞けます。"
            }
            (Self::Japanese, Verdict::Warn) if asked => "使えます。矢印の ある ところを 読んで ください。",
            (Self::Japanese, Verdict::Warn) => {
                "使えます。矢印の ある ところを 読んで ください。外から どう 見えるかは、`enza doctor --outside` で スマートフォンに 聞けます。"
            }
            (Self::Japanese, Verdict::Bad) => {
                "このままでは 入れない 人が います。はじめの「だめ」から なおして ください。"
            }
        }
    }

    /// Over the link for a phone. `may_skip`: somebody sits there who can press Enter.
    pub(crate) const fn ask_phone(self, may_skip: bool) -> &'static str {
        match (self, may_skip) {
            (Self::English, true) => {
                "Open this on a phone that is not in this network (mobile data), or press Enter to go on without it."
            }
            (Self::English, false) => "Open this on a phone that is not in this network (mobile data).",
            (Self::Japanese, true) => {
                "この ネットワークの 外の スマートフォン (モバイル回線) で ひらいて ください。なしで すすむときは Enter を おして ください。"
            }
            (Self::Japanese, false) => {
                "この ネットワークの 外の スマートフォン (モバイル回線) で ひらいて ください。"
            }
        }
    }

    /// What was found, and what to do about it.
    pub(crate) fn finding(self, found: &Found) -> (String, Option<String>) {
        match self {
            Self::English => english(found),
            Self::Japanese => japanese(found),
        }
    }
}

fn size(bytes: u64) -> String {
    match bytes >> 20 {
        mib @ 0..=9999 => format!("{mib} MiB"),
        mib => format!("{} GiB", mib >> 10),
    }
}

fn list(all: &[impl Display]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn english(found: &Found) -> (String, Option<String>) {
    let fine = |what: String| (what, None);
    let but = |what: String, todo: &str| (what, Some(todo.to_owned()));
    match found {
        Found::Version => fine(format!("This is Enza {}.", env!("CARGO_PKG_VERSION"))),
        Found::Refused(error) => (Language::English.start_error(error), None),
        Found::Settings => fine("The settings can be used.".to_owned()),
        Found::Running { port } => fine(format!("The server runs on port {port} and lets people in.")),
        Found::NotReady { port, said } => but(
            format!("The server on port {port} does not let people in: {said}"),
            "Read its log (journalctl -u enza), make room on the disk if it is full, and start it again.",
        ),
        Found::NotRunning => but(
            "The server does not run with this data folder, so its port was not asked.".to_owned(),
            "Start it and look again, or give the server's own flags (--data, --port).",
        ),
        Found::UdpAnswers { port } => fine(format!("UDP port {port} answers from this computer.")),
        Found::UdpSilent { port } => but(
            format!("UDP port {port} does not answer, not even from this computer: sound and picture would go over TCP."),
            "Look whether a firewall on this machine drops UDP (nft list ruleset, ufw status) and open the port for UDP.",
        ),
        Found::DnsFits { host } => fine(format!("{host} leads to this machine.")),
        Found::DnsElsewhere { host, leads, own } => but(
            format!("{host} leads to {}, but this machine is {}.", list(leads), list(own)),
            "Change the A and AAAA records where you rent the name, and wait until their time (TTL) is over.",
        ),
        Found::DnsMixed { host, others } => but(
            format!("{host} leads here, and to {} as well, which this machine does not have.", list(others)),
            "Remove those records, often an AAAA of an address that was never set up: some people would try them first.",
        ),
        Found::DnsTold { host, leads } => fine(format!(
            "{host} leads to {}; people are told so, since this machine carries private addresses only.",
            list(leads)
        )),
        Found::DnsUncertain { host, leads } => but(
            format!("{host} leads to {}; this machine knows no public address of its own to compare.", list(leads)),
            "Give --stun-server HOST:PORT of a server that you trust, or --announce with the public address.",
        ),
        Found::DnsNothing { host, reason } => but(
            format!("{host} leads nowhere: {reason}"),
            "Make an A record (and an AAAA where there is IPv6) with the public address of this machine.",
        ),
        Found::CertificateFits { days } => fine(format!("The certificate is good for {days} days more.")),
        Found::CertificateSoon { days } => but(
            format!("The certificate ends in {days} days."),
            "Renew it now, and look why it was not renewed by itself: port 443 must be reachable from outside.",
        ),
        Found::CertificateOver => but(
            "The certificate has ended: browsers let nobody in.".to_owned(),
            "Renew it; the server takes new files by itself.",
        ),
        Found::CertificateRefused { reason } => but(
            format!("Browsers would refuse the certificate: {reason}"),
            "The file for --cert needs the whole chain (fullchain.pem) for exactly this name.",
        ),
        Found::CertificateOwn { days } => but(
            format!("The certificate is made by this server itself, for {days} days more: browsers warn."),
            "Good for a home network. For others use a domain with a certificate of a public authority.",
        ),
        Found::NoCertificate { alone: true } => {
            fine("HTTP without a certificate: browsers give camera and microphone on this computer only.".to_owned())
        }
        Found::NoCertificate { alone: false } => but(
            "HTTP without a certificate, on more than this computer.".to_owned(),
            "Right behind a proxy that adds HTTPS. Otherwise browsers give nobody a camera or a microphone.",
        ),
        Found::Public { address } => fine(format!("This machine has a public address, {address}.")),
        Found::BehindNat { mapped, told: false, .. } => but(
            format!("This machine is behind NAT: others see {mapped}, and are not told so."),
            "Serve with --announce and that address, and forward the port, TCP and UDP, on the router or in the cloud's firewall.",
        ),
        Found::BehindNat { mapped, told: true, keeps_port: true } => {
            fine(format!("Behind NAT as {mapped}, which is announced; ports stay as they are."))
        }
        Found::BehindNat { mapped, told: true, keeps_port: false } => but(
            format!("Behind NAT as {mapped}, which is announced; it changes ports."),
            "Make sure that the server's port is forwarded under the same number, TCP and UDP.",
        ),
        Found::Symmetric { mapped, .. } => but(
            format!("The NAT here is symmetric: every server outside sees another port of {mapped}."),
            "Only a forwarded port helps: forward the server's, TCP and UDP, to the same number, and serve with --announce and that address.",
        ),
        Found::StunSilent { server } => but(
            format!("{server} does not say as whom it sees this machine."),
            "Look whether UDP may leave this network, and whether the name and port are right.",
        ),
        Found::PrivatePort { port } => but(
            format!("Only private addresses are told, and with port {port} Chrome and Edge take none of those: they are left with the relay inside TLS."),
            "Inside a home or office use another port (--port 8443); behind a router or in a cloud tell the public address with --announce or --stun-server.",
        ),
        Found::Phone { summary, .. } => fine(format!("Seen from outside: {summary}")),
        Found::FromPhone(line) => (line.what.clone(), line.todo.clone()),
        Found::NoPhone { reason } => but(
            format!("No phone has looked from outside: {reason}"),
            "Run it again with --outside, and open the link on a phone that uses mobile data.",
        ),
        Found::PrivateOnly => but(
            "This machine has private addresses only: people outside of this network do not get in.".to_owned(),
            "Serve with --announce and the public address, and forward the port, TCP and UDP.",
        ),
        Found::ClockKept => fine("The clock is kept right.".to_owned()),
        Found::ClockUnsure => but(
            "Nobody is known to keep the clock right. A wrong one makes certificates and links end at the wrong time.".to_owned(),
            "Run a time service: timedatectl set-ntp true, or install chrony.",
        ),
        Found::ClockWrong => but(
            "The clock is wrong: it shows a time before this program was made.".to_owned(),
            "Set it: timedatectl set-ntp true",
        ),
        Found::Disk { free } => fine(format!("{} are free on the disk.", size(*free))),
        Found::DiskLow { free } => but(
            format!("Only {} are free on the disk: soon nothing can be kept.", size(*free)),
            "Make room; journalctl --vacuum-size=100M is often enough.",
        ),
        Found::Memory { free } => fine(format!("{} of memory are free.", size(*free))),
        Found::MemoryLow { free } => but(
            format!("Only {} of memory are free.", size(*free)),
            "Stop other programs, or rent a machine with more; the system ends programs when it has none left.",
        ),
        Found::Files => fine("Enough files may be open at once.".to_owned()),
        Found::FilesFew { most } => but(
            format!("Only {most} files may be open at once, fewer than the connections that are allowed."),
            "The service of `enza install` has 65536; by hand: ulimit -n 65536",
        ),
        Found::Gso => fine("The kernel sends several datagrams at once (UDP GSO).".to_owned()),
        Found::NoGso => but(
            "The kernel cannot send several datagrams at once (no UDP GSO): the processor carries fewer people.".to_owned(),
            "Linux 4.18 or newer has it; some containers and virtual networks do not.",
        ),
        Found::Buffers => fine("Sockets may have the buffers that the media plane wants.".to_owned()),
        Found::BuffersSmall { bytes } => but(
            format!("Sockets may have buffers of {} KiB only; bursts in large rooms may be cut.", bytes >> 10),
            "sysctl -w net.core.rmem_max=4194304 net.core.wmem_max=4194304, and the same into /etc/sysctl.d/enza.conf",
        ),
        Found::CertificateNone => but(
            "There is no certificate yet: nobody can open the page by its name.".to_owned(),
            "Read the log (journalctl -u enza): it says what the authority answered; enza doctor says whether the name leads here.",
        ),
        Found::FilesUsed { open, most } => but(
            format!("{open} of {most} files and connections are open: soon newcomers have to wait."),
            "The service of `enza install` has 65536; by hand: ulimit -n 65536, then start again.",
        ),
        Found::ConnectionsUsed { now, most } => but(
            format!("{now} of {most} places for connections are taken: soon newcomers have to wait."),
            "If fewer people are here than that suggests, somebody floods the port: stop them at the firewall.",
        ),
        Found::MediaBusy { percent } => but(
            format!("Sound and picture keep a processor busy for {percent} % of the time: with many more people they would falter."),
            "Let no further meeting begin now, or ask people to turn cameras off; for the next time take a machine with more or faster processors.",
        ),
    }
}

fn japanese(found: &Found) -> (String, Option<String>) {
    let fine = |what: String| (what, None);
    let but = |what: String, todo: &str| (what, Some(todo.to_owned()));
    match found {
        Found::Version => fine(format!("Enza {} です。", env!("CARGO_PKG_VERSION"))),
        Found::Refused(error) => (Language::Japanese.start_error(error), None),
        Found::Settings => fine("設定は 使えます。".to_owned()),
        Found::Running { port } => fine(format!("サーバーは ポート {port} で 動いていて、人が 入れます。")),
        Found::NotReady { port, said } => but(
            format!("ポート {port} の サーバーに 人が 入れません: {said}"),
            "記録を 読んで ください (journalctl -u enza)。ディスクが いっぱいなら 空けて、もう一度 始めて ください。",
        ),
        Found::NotRunning => but(
            "この データの フォルダーで サーバーは 動いていません。ポートは 試していません。".to_owned(),
            "サーバーを 始めてから もう一度 調べるか、サーバーと 同じ 指定 (--data, --port) を つけて ください。",
        ),
        Found::UdpAnswers { port } => fine(format!("UDP ポート {port} は この コンピューターから 通じます。")),
        Found::UdpSilent { port } => but(
            format!("UDP ポート {port} は この コンピューターからも 通じません。声と 映像は TCP に なります。"),
            "この コンピューターの ファイアウォールが UDP を 止めていないか 調べて (nft list ruleset, ufw status)、ポートを UDP でも あけて ください。",
        ),
        Found::DnsFits { host } => fine(format!("{host} は この コンピューターを さしています。")),
        Found::DnsElsewhere { host, leads, own } => but(
            format!("{host} は {} を さしていますが、この コンピューターは {} です。", list(leads), list(own)),
            "ドメインを 借りている ところで A と AAAA を なおし、TTL の 時間だけ 待って ください。",
        ),
        Found::DnsMixed { host, others } => but(
            format!("{host} は この コンピューターの ほかに {} も さしています。", list(others)),
            "その 行を 消して ください。使っていない AAAA が 残っていることが よく あります。先に そちらへ 行く 人が います。",
        ),
        Found::DnsTold { host, leads } => fine(format!(
            "{host} は {} を さしています。この コンピューターには 内側の アドレスしか ないので、参加する 人には その アドレスを 知らせています。",
            list(leads)
        )),
        Found::DnsUncertain { host, leads } => but(
            format!("{host} は {} を さしています。この コンピューターは 自分の 公開アドレスを 知らないので、くらべられません。", list(leads)),
            "信頼できる サーバーを --stun-server HOST:PORT で 指定するか、公開アドレスを --announce で 指定して ください。",
        ),
        Found::DnsNothing { host, reason } => but(
            format!("{host} は どこも さしていません: {reason}"),
            "この コンピューターの 公開アドレスで A (IPv6 が あれば AAAA も) を 作って ください。",
        ),
        Found::CertificateFits { days } => fine(format!("証明書は あと {days} 日 使えます。")),
        Found::CertificateSoon { days } => but(
            format!("証明書は あと {days} 日で 終わります。"),
            "すぐに 更新し、自動で 更新されなかった わけを 調べて ください。外から ポート 443 に とどく ことが 必要です。",
        ),
        Found::CertificateOver => but(
            "証明書の 期限が 切れています。ブラウザーは だれも 入れません。".to_owned(),
            "更新して ください。新しい ファイルは サーバーが 自分で 読みます。",
        ),
        Found::CertificateRefused { reason } => but(
            format!("ブラウザーは この 証明書を 断ります: {reason}"),
            "--cert には、この 名前の 証明書の すべて (fullchain.pem) が 必要です。",
        ),
        Found::CertificateOwn { days } => but(
            format!("サーバーが 自分で 作った 証明書です (あと {days} 日)。ブラウザーが 警告します。"),
            "家の 中では これで 十分です。ほかの 人には、ドメインと、公開の 認証局の 証明書を 使って ください。",
        ),
        Found::NoCertificate { alone: true } => {
            fine("証明書の ない HTTP です。カメラと マイクは この コンピューターだけで 使えます。".to_owned())
        }
        Found::NoCertificate { alone: false } => but(
            "証明書の ない HTTP で、ほかの コンピューターからも ひらけます。".to_owned(),
            "HTTPS を つける プロキシーの うしろなら 正しい 設定です。そうで なければ、だれも カメラと マイクを 使えません。",
        ),
        Found::Public { address } => fine(format!("この コンピューターには 公開アドレス {address} が あります。")),
        Found::BehindNat { mapped, told: false, .. } => but(
            format!("NAT の 中に います。外からは {mapped} に 見えますが、それが 知らされていません。"),
            "その アドレスを --announce で 指定し、ルーターか クラウドの ファイアウォールで ポートを TCP も UDP も 転送して ください。",
        ),
        Found::BehindNat { mapped, told: true, keeps_port: true } => {
            fine(format!("NAT の 中で、外からは {mapped} です。知らせて あり、ポートも 変わりません。"))
        }
        Found::BehindNat { mapped, told: true, keeps_port: false } => but(
            format!("NAT の 中で、外からは {mapped} です。知らせて ありますが、ポートが 変わります。"),
            "サーバーの ポートが 同じ 番号で、TCP も UDP も 転送されているか 確かめて ください。",
        ),
        Found::Symmetric { mapped, .. } => but(
            format!("対称型の NAT です。外の サーバーごとに {mapped} の ちがう ポートに 見えます。"),
            "サーバーの ポートを 同じ 番号で TCP も UDP も 転送し、その アドレスを --announce で 指定して ください。",
        ),
        Found::StunSilent { server } => but(
            format!("{server} から 返事が ありません。"),
            "この ネットワークから UDP が 出られるか、名前と ポートが 正しいか、調べて ください。",
        ),
        Found::PrivatePort { port } => but(
            format!("内側の アドレスだけが 知らされています。ポート {port} では Chrome と Edge が それを 使わないので、TLS の 中の 中継だけが 残ります。"),
            "家や 会社の 中だけなら ほかの ポート (--port 8443) に して ください。ルーターや クラウドの 中なら 公開アドレスを --announce か --stun-server で 知らせて ください。",
        ),
        Found::Phone { summary, .. } => fine(format!("外から 見ると: {summary}")),
        Found::FromPhone(line) => (line.what.clone(), line.todo.clone()),
        Found::NoPhone { reason } => but(
            format!("外から 見た スマートフォンは ありません: {reason}"),
            "--outside を つけて もう一度 始め、モバイル回線の スマートフォンで リンクを ひらいて ください。",
        ),
        Found::PrivateOnly => but(
            "この コンピューターには 内側の アドレスしか ありません。この ネットワークの 外の 人は 入れません。".to_owned(),
            "公開アドレスを --announce で 指定し、ポートを TCP も UDP も 転送して ください。",
        ),
        Found::ClockKept => fine("時計は 自動で 合わせて あります。".to_owned()),
        Found::ClockUnsure => but(
            "時計を 合わせている ものが 見つかりません。時計が ずれると、証明書や リンクの 期限が ずれます。".to_owned(),
            "時刻合わせを 入れて ください: timedatectl set-ntp true、または chrony",
        ),
        Found::ClockWrong => but(
            "時計が まちがっています。この プログラムが 作られる 前の 時刻です。".to_owned(),
            "合わせて ください: timedatectl set-ntp true",
        ),
        Found::Disk { free } => fine(format!("ディスクは {} 空いています。", size(*free))),
        Found::DiskLow { free } => but(
            format!("ディスクは {} しか 空いていません。もうすぐ 何も 保存できなく なります。", size(*free)),
            "空けて ください。journalctl --vacuum-size=100M で 足りる ことが よく あります。",
        ),
        Found::Memory { free } => fine(format!("メモリーは {} 空いています。", size(*free))),
        Found::MemoryLow { free } => but(
            format!("メモリーは {} しか 空いていません。", size(*free)),
            "ほかの プログラムを 止めるか、メモリーの 多い ものを 借りて ください。足りなくなると、プログラムが 止められます。",
        ),
        Found::Files => fine("同時に ひらける ファイルの 数は 十分です。".to_owned()),
        Found::FilesFew { most } => but(
            format!("同時に ひらける ファイルが {most} しか ありません。"),
            "`enza install` の サービスでは 65536 です。自分で 始めるときは: ulimit -n 65536",
        ),
        Found::Gso => fine("カーネルは データグラムを まとめて 送れます (UDP GSO)。".to_owned()),
        Found::NoGso => but(
            "カーネルは データグラムを まとめて 送れません (UDP GSO が ありません)。入れる 人数が 少なく なります。".to_owned(),
            "Linux 4.18 より 新しいものに あります。コンテナーや 仮想ネットワークには ない ことが あります。",
        ),
        Found::Buffers => fine("ソケットの バッファーは 十分です。".to_owned()),
        Found::BuffersSmall { bytes } => but(
            format!("ソケットの バッファーは {} KiB までです。大きい 部屋で とぎれる ことが あります。", bytes >> 10),
            "sysctl -w net.core.rmem_max=4194304 net.core.wmem_max=4194304　同じ 行を /etc/sysctl.d/enza.conf にも 書いて ください。",
        ),
        Found::CertificateNone => but(
            "証明書が まだ ありません。名前では だれも ページを ひらけません。".to_owned(),
            "認証局の 返事が 記録に あります (journalctl -u enza)。名前が ここを さしているかは enza doctor で わかります。",
        ),
        Found::FilesUsed { open, most } => but(
            format!("ファイルと 接続が {most} のうち {open} ひらいています。もうすぐ、新しい 人が 待つことに なります。"),
            "`enza install` の サービスでは 65536 です。自分で 始めるときは ulimit -n 65536 の あとで もう一度 始めて ください。",
        ),
        Found::ConnectionsUsed { now, most } => but(
            format!("接続の 席が {most} のうち {now} うまっています。もうすぐ、新しい 人が 待つことに なります。"),
            "人数の わりに 多すぎるなら、だれかが 大量に つないでいます。ファイアウォールで 止めて ください。",
        ),
        Found::MediaBusy { percent } => but(
            format!("声と 映像で プロセッサーが {percent} % の 時間 はたらいています。人が もっと ふえると とぎれます。"),
            "いまは 新しい 集まりを 始めないか、カメラを 切るよう お願いして ください。次からは、プロセッサーの 多い、または 速い ものを 使って ください。",
        ),
    }
}
