//! What `enza install`, `enza uninstall` and `enza serve --check` say.

use super::Language;
use crate::install::{Done, STATE, VARIABLES};

impl Language {
    pub(crate) fn installed(self, done: &Done) -> String {
        let unit = done.unit.display();
        let copied = done.copied.as_ref().map(|binary| binary.display().to_string());
        match self {
            Self::English => {
                let copied =
                    copied.map_or_else(String::new, |binary| format!("The program is {binary} now.\n"));
                let next = if done.started {
                    "It runs, and starts with the machine. See it: systemctl status enza, its log: journalctl -u enza\n\
                     A link for you, the host: sudo enza invite create --role host --data /var/lib/enza/data"
                } else {
                    "Start it where systemd runs: systemctl daemon-reload && systemctl enable --now enza"
                };
                format!(
                    "{copied}The service is written to {unit}.\n{next}\nIts data is in {STATE}/data; \
                     variables that only root may read, such as ENZA_API_SECRET, belong in {VARIABLES}.\n"
                )
            }
            Self::Japanese => {
                let copied = copied
                    .map_or_else(String::new, |binary| format!("プログラムを {binary} に 置きました。\n"));
                let next = if done.started {
                    "動いています。コンピューターを つけたときも 自動で 始まります。ようすを 見る: systemctl status enza　記録を 見る: journalctl -u enza\n\
                     あなた用の (進行役の) リンクを つくる: sudo enza invite create --role host --data /var/lib/enza/data"
                } else {
                    "systemd が 動いている コンピューターで 始めて ください: systemctl daemon-reload && systemctl enable --now enza"
                };
                format!(
                    "{copied}サービスを {unit} に 書きました。\n{next}\nデータは {STATE}/data に あります。ENZA_API_SECRET など、\
                     root だけが 読む 変数は {VARIABLES} に 書いて ください。\n"
                )
            }
        }
    }

    pub(crate) fn uninstalled(self, done: Option<&Done>) -> String {
        match (self, done) {
            (Self::English, None) => "There is no such service here.\n".to_owned(),
            (Self::Japanese, None) => "この サービスは ありません。\n".to_owned(),
            (Self::English, Some(done)) => format!(
                "The service is removed ({}). The data stays in {STATE}/data: delete that folder yourself when nobody needs \
                 it any more.\n",
                done.unit.display()
            ),
            (Self::Japanese, Some(done)) => format!(
                "サービスを 消しました ({})。データは {STATE}/data に 残って います。もう いらないときは、その フォルダーを \
                 自分で 消して ください。\n",
                done.unit.display()
            ),
        }
    }

    /// Nothing stands in the way of a start.
    pub(crate) const fn nothing_wrong(self, running: bool) -> &'static str {
        match (self, running) {
            (Self::English, false) => "Nothing stands in the way of a start.",
            (Self::English, true) => {
                "These settings can be used. A server runs with this data folder, so its ports and its database were not tried."
            }
            (Self::Japanese, false) => "この 設定で 始められます。",
            (Self::Japanese, true) => {
                "この 設定は 使えます。この データの フォルダーで サーバーが 動いて いるので、ポートと データベースは 試して いません。"
            }
        }
    }
}
