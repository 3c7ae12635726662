//! Every sentence the terminal shows, in Japanese and English. No other file of this crate holds text for the
//! operator's eyes; the page has its own catalogue, and log lines and API messages are English.

mod certificate;
mod doctor;
mod install;
mod operate;

use crate::start_error::StartError;
use std::path::Path;
use store::{InviteState, StoreError};

/// What `/` shows when the web client was left out of the build.
pub(crate) const PAGE_LEFT_OUT: &str = "<!doctype html><html lang=\"ja\"><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width\"><title>Enza</title>\
    <h1>Enza</h1><p>この サーバーには ページが 入っていません (ENZA_WEB=skip で 作られました)。</p>\
    <p lang=\"en\">This server was built without its web page (ENZA_WEB=skip).</p></html>";

/// What a browser gets over `http://` while the first certificate is on its way.
pub(crate) const CERTIFICATE_COMES: &str = "<!doctype html><html lang=\"ja\"><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width\"><title>Enza</title>\
    <h1>Enza</h1><p>いま 準備を しています。もう すこし 待って ください。この ページは 自動で ひらきなおします。</p>\
    <p lang=\"en\">Getting ready. Please wait a little: this page opens again by itself.</p></html>";

/// The languages Enza speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    English,
    Japanese,
}

impl Language {
    /// The language of `LC_ALL`, else `LC_MESSAGES`, else `LANG` (POSIX order; empty counts as unset).
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .find_map(|name| variable(name).filter(|value| !value.is_empty()));
        match locale {
            Some(locale) if locale.starts_with("ja") => Self::Japanese,
            _ => Self::English,
        }
    }

    /// The title of the room that the first start makes.
    #[must_use]
    pub const fn first_room(self) -> &'static str {
        match self {
            Self::English => "First room",
            Self::Japanese => "はじめての部屋",
        }
    }

    pub(crate) const fn room_is_open(self) -> &'static str {
        match self {
            Self::English => "The room is open. Anybody who has a link can come in.",
            Self::Japanese => "部屋が ひらきました。リンクを 持っている 人は だれでも 入れます。",
        }
    }

    pub(crate) const fn host_link(self) -> &'static str {
        match self {
            Self::English => "For you (host; keep it to yourself):",
            Self::Japanese => "あなた用 (進行役。ほかの 人に わたさないで ください):",
        }
    }

    pub(crate) const fn guest_link(self) -> &'static str {
        match self {
            Self::English => "For your guests:",
            Self::Japanese => "参加する 人用:",
        }
    }

    pub(crate) const fn this_computer_only(self) -> &'static str {
        match self {
            Self::English => {
                "These links work on this computer only. For a phone on the same network: enza serve --lan"
            }
            Self::Japanese => {
                "この リンクは この コンピューターだけで 使えます。おなじ ネットワークの スマートフォンで 使うには: enza serve --lan"
            }
        }
    }

    pub(crate) const fn scan(self) -> &'static str {
        match self {
            Self::English => "Guest link to scan:",
            Self::Japanese => "参加する 人の リンクの QRコード:",
        }
    }

    pub(crate) fn development_certificate(self, authority: &Path) -> String {
        let file = authority.display();
        match self {
            Self::English => format!(
                "The certificate is made by this server, so browsers warn. To end the warning, trust {file} \
                 on each device (certs/README.md)."
            ),
            Self::Japanese => format!(
                "この サーバーが 作った 証明書なので、ブラウザーが 警告を 出します。警告を なくすには、\
                 それぞれの 機械で {file} を 信頼して ください (certs/README.md)。"
            ),
        }
    }

    pub(crate) const fn camera_needs_https(self) -> &'static str {
        match self {
            Self::English => {
                "Without HTTPS, browsers give no camera or microphone except on this computer's own localhost."
            }
            Self::Japanese => {
                "HTTPS で ない ときは、この コンピューターの localhost いがいでは カメラと マイクが 使えません。"
            }
        }
    }

    /// Why the program ended, in one sentence.
    #[must_use]
    pub fn start_error(self, error: &StartError) -> String {
        match self {
            Self::English => error.to_string(),
            Self::Japanese => japanese(error),
        }
    }

    pub(crate) const fn invite_revoked(self) -> &'static str {
        match self {
            Self::English => "Revoked. The link opens nothing any more.",
            Self::Japanese => "取り消しました。この リンクでは もう 入れません。",
        }
    }

    pub(crate) fn backed_up(self, file: &Path) -> String {
        let file = file.display();
        match self {
            Self::English => format!(
                "Saved to {file}. It holds the rooms and who may enter them, but no passphrase and no link in clear, \
                 and no keys."
            ),
            Self::Japanese => {
                format!(
                    "{file} に 保存しました。部屋と 招待が 入っています。合言葉・リンク・鍵は そのままの形では 入っていません。"
                )
            }
        }
    }

    pub(crate) const fn restored(self) -> &'static str {
        match self {
            Self::English => {
                "Restored. What was there before is kept as enza.db.before-restore in the data folder. Nothing in it is \
                 forgotten by itself, also texts whose day has come: delete it when you do not need it."
            }
            Self::Japanese => {
                "元に 戻しました。それまでの データは データの フォルダーの enza.db.before-restore に あります。この ファイルの 中身は、期限を すぎた メッセージも、自動では 消えません。いらなくなったら 消して ください。"
            }
        }
    }

    pub(crate) const fn no_invites(self) -> &'static str {
        match self {
            Self::English => "There are no invites yet.",
            Self::Japanese => "招待は まだ ありません。",
        }
    }

    pub(crate) const fn invite_state(self, state: InviteState) -> &'static str {
        match (state, self) {
            (InviteState::Open, Self::English) => "open",
            (InviteState::Open, Self::Japanese) => "有効",
            (InviteState::NotYet, Self::English) => "not yet",
            (InviteState::NotYet, Self::Japanese) => "開始前",
            (InviteState::Expired, Self::English) => "expired",
            (InviteState::Expired, Self::Japanese) => "期限切れ",
            (InviteState::Revoked, Self::English) => "revoked",
            (InviteState::Revoked, Self::Japanese) => "取り消し済み",
            (InviteState::UsedUp, Self::English) => "used up",
            (InviteState::UsedUp, Self::Japanese) => "人数に達した",
        }
    }
}

fn japanese(error: &StartError) -> String {
    match error {
        StartError::UnknownKey { file, key, nearest } => {
            let hint = nearest.map_or_else(String::new, |near| format!(" 「{near}」の まちがいですか。"));
            format!("{} に 知らない 設定「{key}」が あります。{hint}", file.display())
        }
        StartError::File { file, reason } => {
            format!("設定ファイル {} を 読めません: {reason}", file.display())
        }
        StartError::Value { name, value, expected } => {
            format!("{name} の 値「{value}」は 使えません。必要なもの: {expected}")
        }
        StartError::Together { one, other } => format!("{one} と {other} は いっしょに 指定して ください。"),
        StartError::Conflict { one, other } => format!("{one} と {other} は いっしょに 使えません。"),
        StartError::SecretShort { length } => format!(
            "API シークレットが 短すぎます ({length} 文字)。32 文字以上に して ください。例: openssl rand -hex 32"
        ),
        StartError::Data { path, source } => {
            format!("データの フォルダー {} を 使えません: {source}", path.display())
        }
        StartError::NoData { path } => format!(
            "{} に Enza の データが ありません。--data を 確かめて ください。データは、サーバーを はじめて 動かしたときに できます。",
            path.display()
        ),
        StartError::Taken { path } => {
            format!("{} は もう あります。上書きしないように、別の 名前に して ください。", path.display())
        }
        StartError::Copy { path, source } => format!("ファイル {} を 使えません: {source}", path.display()),
        StartError::Store(StoreError::RoomUnknown) => {
            "この ID の 部屋は ありません。enza room list で 部屋を、enza invite list で リンクを 見られます。".to_owned()
        }
        StartError::Store(StoreError::InviteUnknown) => {
            "この 番号の リンクは ありません。enza invite list で 見られます。".to_owned()
        }
        StartError::Store(StoreError::Copy { path }) => {
            format!("{} は Enza の バックアップでは ないか、こわれて います。別の ファイルを えらんで ください。", path.display())
        }
        StartError::Store(source) => format!("データベースを 使えません: {source}"),
        StartError::PortInUse { port } => format!(
            "ポート {port} は ほかの プログラムが 使っています。それを 止めるか、--port で 別の 番号を えらんで ください。"
        ),
        StartError::Running { path } => format!(
            "データの フォルダー {} を 使う サーバーが 動いています。戻した データを 上書きしないように、先に 止めて ください。",
            path.display()
        ),
        StartError::FolderTaken { path } => format!(
            "データの フォルダー {} は ほかの サーバーが 使っています。それを 止めるか、--data で 別の フォルダーを えらんで ください。",
            path.display()
        ),
        StartError::Bind { address, source } => format!("{address} で 待ち受けできません: {source}"),
        StartError::NoAddress => {
            "この コンピューターの ネットワーク アドレスが 見つかりません。--announce で 指定して ください。"
                .to_owned()
        }
        StartError::Certificate { path, reason } => {
            format!("証明書 {} を 使えません: {reason}", path.display())
        }
        StartError::Random(source) => format!("OS から 乱数を もらえません: {source}"),
        StartError::Media(reason) => format!("メディアの 準備が できません: {reason}"),
        StartError::PortForbidden { port } => format!(
            "ポート {port} を 使う 権利が ありません。`enza install` で サービスに するか、`sudo setcap cap_net_bind_service=+ep` を \
             この プログラムに 使うか、--port で 1024 以上の 番号を 指定して ください。"
        ),
        StartError::Install { what, reason } => format!("{what} が できません: {reason}"),
        StartError::SecretInUnit => {
            "サービスの 設定は だれでも 読めます。シークレットは --api-secret で なく、/etc/enza.env に ENZA_API_SECRET=… と 書いて ください。"
                .to_owned()
        }
        StartError::NotForUnit { value } => format!(
            "サービスの 設定に {value} は 書けません。改行などの 見えない 文字が あるか、UTF-8 では ない 文字が あります。\
             別の 値に するか、ファイルの 名前を 変えて ください。"
        ),
        StartError::Operate(error) => operate::japanese(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(pairs: &[(&str, &str)]) -> Language {
        Language::from_environment(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_locale_is_read_in_posix_order() {
        assert_eq!(language(&[("LANG", "ja_JP.UTF-8")]), Language::Japanese);
        assert_eq!(language(&[("LANG", "ja_JP.UTF-8"), ("LC_ALL", "C")]), Language::English);
        assert_eq!(language(&[("LANG", "en_GB.UTF-8"), ("LC_MESSAGES", "ja_JP")]), Language::Japanese);
        assert_eq!(language(&[("LC_ALL", ""), ("LANG", "ja")]), Language::Japanese);
        assert_eq!(language(&[]), Language::English);
    }

    #[test]
    fn both_languages_name_the_value_that_matters() {
        let errors = [
            (StartError::PortInUse { port: 7880 }, "7880"),
            (StartError::SecretShort { length: 6 }, "6"),
            (
                StartError::UnknownKey {
                    file: "enza.toml".into(),
                    key: "prot".into(),
                    nearest: Some("port"),
                },
                "port",
            ),
        ];
        for (error, needle) in errors {
            for language in [Language::English, Language::Japanese] {
                let sentence = language.start_error(&error);
                assert!(sentence.contains(needle), "{sentence}");
            }
        }
    }
}
