//! What is said about a certificate that the server gets by itself.

use super::Language;
use crate::notice::{Notice, Trouble, What};
use std::time::Duration;

impl Language {
    /// Something that happened while the server runs.
    #[must_use]
    pub fn notice(self, notice: &Notice) -> String {
        match (notice, self) {
            (Notice::Asking { domains, directory }, Self::English) => format!(
                "Getting a certificate for {} from {}. The links open once it is there, usually within a minute.",
                domains.join(", "),
                host(directory)
            ),
            (Notice::Asking { domains, directory }, Self::Japanese) => format!(
                "{} の 証明書を {} から もらいます。証明書が とどくと、リンクが ひらきます。ふつうは 1分 かかりません。",
                domains.join(", "),
                host(directory)
            ),
            (Notice::Certificate { domains, days }, Self::English) => format!(
                "The certificate for {} is here. It holds for {days} days and is renewed by itself.",
                domains.join(", ")
            ),
            (Notice::Certificate { domains, days }, Self::Japanese) => format!(
                "{} の 証明書が とどきました。あと {days} 日 使えます。新しくするのは 自動です。",
                domains.join(", ")
            ),
            (Notice::NoCertificate { trouble, again, days }, Self::English) => {
                let left = days
                    .map_or_else(String::new, |days| format!(" The present one holds for {days} more days."));
                format!("{}{left} Next try in {}.", english(trouble), self.wait(*again))
            }
            (Notice::NoCertificate { trouble, again, days }, Self::Japanese) => {
                let left =
                    days.map_or_else(String::new, |days| format!("今の 証明書は あと {days} 日 使えます。"));
                format!("{}{left}{} あとに もう一度 ためします。", japanese(trouble), self.wait(*again))
            }
        }
    }

    fn wait(self, wait: Duration) -> String {
        match (wait.as_secs(), self) {
            (seconds @ ..120, Self::English) => format!("{seconds} seconds"),
            (seconds @ ..120, Self::Japanese) => format!("{seconds} 秒"),
            (seconds, Self::English) => format!("{} minutes", seconds / 60),
            (seconds, Self::Japanese) => format!("{} 分", seconds / 60),
        }
    }
}

/// Of a URL.
fn host(url: &str) -> &str {
    url.split('/').nth(2).unwrap_or(url)
}

fn english(trouble: &Trouble) -> String {
    let domain = trouble.domain.as_deref().unwrap_or("the domain");
    let sentence = match trouble.what {
        What::Unreachable => {
            "No certificate yet: the authority cannot be reached from this computer. Look at its network, its DNS and \
             its clock."
                .to_owned()
        }
        What::NoAddress => format!(
            "No certificate yet: {domain} has no address. Where you keep the domain, make an A record (and AAAA for \
             IPv6) with this server's public address; others may see it some minutes later."
        ),
        What::Closed => format!(
            "No certificate yet: nobody can connect to port 443 of {domain}. Open port 443 for TCP in the firewall of \
             this computer and of your provider, on a router forward it; and see that {domain} has this server's address."
        ),
        What::Unproven => format!(
            "No certificate yet: at port 443 of {domain} something else answers than this server. See that its A and \
             AAAA records have this server's addresses (an old AAAA is easily overlooked), and that no proxy stands before it."
        ),
        What::Forbidden => format!(
            "No certificate yet: a CAA record of {domain} allows other authorities only. Add this one, or remove the record."
        ),
        What::RateLimited => {
            "No certificate yet: the authority has had too many requests for this name lately. Waiting helps; starting \
             again and again does not. Keep the data folder: what was got before is in it."
                .to_owned()
        }
        What::NameRefused => format!("No certificate yet: the authority gives none for {domain}. Look at the spelling."),
        What::NoAccount => {
            "No certificate yet: the authority does not know this server's account any more. The next try makes a new one."
                .to_owned()
        }
        What::NoSuchProof => {
            "No certificate yet: the authority does not offer TLS-ALPN-01, the proof over port 443. Use another one \
             (--acme-directory), or bring your own certificate (--cert, --key)."
                .to_owned()
        }
        What::Late => "No certificate yet: the authority did not finish in time.".to_owned(),
        What::Unusable => {
            "No certificate yet: what is needed for it cannot be kept or used here. Look at the data folder, and at the \
             disk's free space."
                .to_owned()
        }
        What::Other => "No certificate yet: the authority refused.".to_owned(),
    };
    match trouble.detail.as_str() {
        "" => sentence,
        detail => format!("{sentence} (It says: {detail})"),
    }
}

fn japanese(trouble: &Trouble) -> String {
    let domain = trouble.domain.as_deref().unwrap_or("ドメイン");
    let sentence = match trouble.what {
        What::Unreachable => {
            "証明書は まだ ありません。この コンピューターから 認証局に つながりません。ネットワーク、DNS、時計を たしかめて ください。"
                .to_owned()
        }
        What::NoAddress => format!(
            "証明書は まだ ありません。{domain} に アドレスが ありません。ドメインを 管理する ところで、A レコード (IPv6 なら \
             AAAA も) に この サーバーの 公開アドレスを 書いて ください。ほかから 見えるまで 数分 かかる ことが あります。"
        ),
        What::Closed => format!(
            "証明書は まだ ありません。{domain} の ポート 443 に 外から つながりません。この コンピューターと 事業者の \
             ファイアウォールで TCP 443 を あけ、ルーターが あれば 転送して ください。{domain} の アドレスが この サーバーの \
             ものかも たしかめて ください。"
        ),
        What::Unproven => format!(
            "証明書は まだ ありません。{domain} の ポート 443 では、この サーバーでは ない ものが 答えています。A と AAAA の \
             レコードが この サーバーの アドレスか (古い AAAA は 見おとしやすいです)、前に プロキシが ないか、たしかめて ください。"
        ),
        What::Forbidden => format!(
            "証明書は まだ ありません。{domain} の CAA レコードが ほかの 認証局だけを ゆるしています。この 認証局を 足すか、\
             レコードを 消して ください。"
        ),
        What::RateLimited => {
            "証明書は まだ ありません。この 名前の もうしこみが 最近 多すぎました。待てば なおります。何度も 起動しなおしても \
             早く なりません。データの フォルダーは 消さないで ください。"
                .to_owned()
        }
        What::NameRefused => format!(
            "証明書は まだ ありません。認証局は {domain} の 証明書を 出しません。つづりを たしかめて ください。"
        ),
        What::NoAccount => {
            "証明書は まだ ありません。認証局に この サーバーの 登録が なくなっています。次に 新しく 登録します。".to_owned()
        }
        What::NoSuchProof => {
            "証明書は まだ ありません。この 認証局は TLS-ALPN-01 (ポート 443 での 確認) が できません。ほかの 認証局 \
             (--acme-directory) か、自分の 証明書 (--cert と --key) を 使って ください。"
                .to_owned()
        }
        What::Late => "証明書は まだ ありません。認証局の 返事が 間に合いませんでした。".to_owned(),
        What::Unusable => {
            "証明書は まだ ありません。必要な ものを ここで 保存できないか、使えません。データの フォルダーと ディスクの 空きを \
             たしかめて ください。"
                .to_owned()
        }
        What::Other => "証明書は まだ ありません。認証局が ことわりました。".to_owned(),
    };
    match trouble.detail.as_str() {
        "" => sentence,
        detail => format!("{sentence} (認証局の ことば: {detail})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_is_said_in_both_languages_with_the_domain_and_the_wait() {
        for what in [What::NoAddress, What::Closed, What::Unproven, What::Forbidden, What::NameRefused] {
            let trouble =
                Trouble { what, domain: Some("circle.example".to_owned()), detail: "no route".to_owned() };
            let notice = Notice::NoCertificate { trouble, again: Duration::from_secs(300), days: Some(7) };
            for (language, again) in [(Language::English, "5 minutes"), (Language::Japanese, "5 分")] {
                let said = language.notice(&notice);
                for word in ["circle.example", "no route", again, "7"] {
                    assert!(said.contains(word), "{said}");
                }
            }
        }
    }
}
