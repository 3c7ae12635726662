//! What `enza room`, `enza participant` and `enza ban` say.

use super::Language;
use crate::operate::OperateError;

impl Language {
    pub(crate) const fn room_headings(self) -> [&'static str; 4] {
        match self {
            Self::English => ["ROOM", "PEOPLE", "MADE", "TITLE"],
            Self::Japanese => ["部屋", "人数", "作った日", "名前"],
        }
    }

    pub(crate) const fn people_headings(self) -> [&'static str; 4] {
        match self {
            Self::English => ["PARTICIPANT", "ROLE", "STATE", "NAME"],
            Self::Japanese => ["参加者", "役割", "状態", "名前"],
        }
    }

    pub(crate) const fn ban_headings(self) -> [&'static str; 3] {
        match self {
            Self::English => ["BAN", "SINCE", "KNOWN BY"],
            Self::Japanese => ["番号", "いつから", "見分けかた"],
        }
    }

    pub(crate) const fn act_headings(self) -> [&'static str; 4] {
        match self {
            Self::English => ["HOUR", "BY", "PEOPLE", "WHAT"],
            Self::Japanese => ["時間", "だれが", "人数", "したこと"],
        }
    }

    pub(crate) const fn no_acts(self) -> &'static str {
        match self {
            Self::English => "Nothing was done by hosts here.",
            Self::Japanese => "進行役が したことの 記録は ありません。",
        }
    }

    pub(crate) const fn no_rooms(self) -> &'static str {
        match self {
            Self::English => "There are no rooms yet.",
            Self::Japanese => "部屋は まだ ありません。",
        }
    }

    pub(crate) const fn nobody(self) -> &'static str {
        match self {
            Self::English => "Nobody is in this room now.",
            Self::Japanese => "今 この 部屋には だれも いません。",
        }
    }

    pub(crate) const fn no_bans(self) -> &'static str {
        match self {
            Self::English => "Nobody is banned from this room.",
            Self::Japanese => "この 部屋で 入室を 止められている 人は いません。",
        }
    }

    pub(crate) const fn done(self) -> &'static str {
        match self {
            Self::English => "Done.",
            Self::Japanese => "できました。",
        }
    }

    pub(crate) const fn room_erased(self) -> &'static str {
        match self {
            Self::English => "Erased. Nothing of the room is kept any more.",
            Self::Japanese => "消しました。この 部屋の 情報は もう 残っていません。",
        }
    }

    pub(crate) const fn ban_lifted(self) -> &'static str {
        match self {
            Self::English => "Lifted. They may come in again.",
            Self::Japanese => "取り消しました。また 入れます。",
        }
    }

    pub(crate) const fn waits(self) -> &'static str {
        match self {
            Self::English => "waits",
            Self::Japanese => "入室待ち",
        }
    }

    pub(crate) const fn presence(self, connected: bool, media: bool) -> &'static str {
        match (connected, media, self) {
            (false, _, Self::English) => "line gone",
            (false, _, Self::Japanese) => "切断中",
            (true, true, Self::English) => "in the call",
            (true, true, Self::Japanese) => "通話中",
            (true, false, Self::English) => "by text",
            (true, false, Self::Japanese) => "文字だけ",
        }
    }

    pub(crate) const fn knows_browser(self, device: bool) -> &'static str {
        match (device, self) {
            (true, Self::English) => "earlier entry and browser",
            (true, Self::Japanese) => "前の 入室と ブラウザー",
            (false, Self::English) => "earlier entry",
            (false, Self::Japanese) => "前の 入室",
        }
    }
}

pub(super) fn japanese(error: &OperateError) -> String {
    match error {
        OperateError::NotRunning { data } => format!(
            "データの フォルダー {} の サーバーは 動いていません。enza serve で 始めるか、--data で 別の フォルダー、\
             --url で サーバーを 指定して ください。",
            data.display()
        ),
        OperateError::Unreachable { url, reason } => format!(
            "{url} の サーバーが 答えません ({reason})。サーバーが 動いているか、URL が 正しいか 確かめて ください。"
        ),
        OperateError::KeyMissing => {
            "--url を 使うときは、その サーバーの 管理者の 鍵が いります。ENZA_OPERATOR_KEY か \
            --key で 指定して ください。"
                .to_owned()
        }
        OperateError::Url { given } => format!(
            "「{given}」は 使えません。https://circle.example.org のような URL を 書いて ください。http:// は、鍵が そのまま \
             ネットワークに 流れるので、この コンピューターだけで 使えます。"
        ),
        OperateError::Refused { code, message } => match refused(code) {
            Some(sentence) => sentence.to_owned(),
            None => format!("サーバーが 断りました: {message}"),
        },
        OperateError::Strange { url, status } => {
            format!("{url} から 来た 答え (状態 {status}) は Enza の ものでは ないか、版が ちがいます。")
        }
        OperateError::Rule { reason } => {
            format!("設定の 名前か 値が ちがいます ({reason})。名前は enza room show で 見られます。")
        }
        OperateError::Setting { given } => {
            format!("「{given}」は 設定として 読めません。名前=値 の 形で 書いて ください。例: lobby=guests")
        }
        OperateError::NotSure => {
            "部屋と、その 部屋の 情報が すべて 消えます。元に 戻せません。よければ --yes を つけて ください。"
                .to_owned()
        }
    }
}

/// What an operator meets, by the API's code for it.
fn refused(code: &str) -> Option<&'static str> {
    Some(match code {
        "room-unknown" => "この ID の 部屋は ありません。enza room list で 見られます。",
        "participant-unknown" => "その 人は いま 部屋に いません。enza participant list で 見られます。",
        "nobody-inside" => "いま この 部屋には だれも いません。",
        "ban-unknown" => "その 番号の 入室禁止は ありません。enza ban list で 見られます。",
        "invite-unknown" => "この 番号の リンクは ありません。enza invite list で 見られます。",
        "invites-full" => {
            "この 部屋の 使える リンクが いっぱいです。いらない リンクを enza invite revoke で 止めて ください。"
        }
        "rooms-full" => "部屋が いっぱいです。いらない 部屋を enza room delete で 消して ください。",
        "title-unusable" => "部屋の 名前は 1 文字から 100 文字まで、1 行で 書いて ください。",
        "setting-out-of-bounds" => "設定の 値が 使える 範囲に ありません。",
        "key-wrong" => {
            "管理者の 鍵が ちがいます。サーバーの データの フォルダーの operator-key を 見て ください。"
        }
        "too-many-attempts" => "まちがいが 続きました。1 分 待ってから もう一度 ためして ください。",
        "unavailable" => {
            "サーバーが いま できません (ディスクが いっぱい、など)。もう一度 ためして ください。くわしくは ログに あります。"
        }
        _ => return None,
    })
}
