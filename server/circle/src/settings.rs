//! The room's rules, as its hosts set them while it runs.

use crate::agreement::is_line;
use crate::limits::{
    CAPACITY_DEFAULT, CAPACITY_MAX, CLOSE_MINUTES_MAX, HISTORY_DAYS_DEFAULT, HISTORY_DAYS_MAX,
};
use crate::{Action, Agreement, Refusal, Role};
use serde::{Deserialize, Serialize};

/// Who has to wait for a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LobbyRule {
    #[default]
    Off,
    /// Speakers and listeners.
    Guests,
    /// Co-hosts too. Hosts never wait.
    Everybody,
}

impl LobbyRule {
    /// Whether somebody with this role waits until a host lets them in.
    #[must_use]
    pub const fn holds(self, role: Role) -> bool {
        match self {
            _ if role.may(Action::PassTheDoor) => false,
            Self::Off => false,
            Self::Guests => !role.may(Action::Admit),
            Self::Everybody => true,
        }
    }
}

/// Who may write to everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TextRule {
    #[default]
    Everyone,
    Hosts,
    Off,
}

/// What newcomers see of earlier texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum History {
    /// Nothing is kept.
    None,
    /// Until the meeting ends.
    #[default]
    Meeting,
    /// For [`Settings::history_days`] days, over meetings.
    Days,
}

/// In which order raised hands are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum HandOrder {
    /// As they were raised.
    #[default]
    InOrder,
    /// Whoever has spoken least in this meeting comes first.
    LeastSpokenFirst,
}

/// Whether people open their own microphones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Microphones {
    #[default]
    Free,
    /// Shut until a host asks the person; hosts and co-hosts are free.
    Held,
}

/// Who may show a screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Screens {
    #[default]
    Everyone,
    Hosts,
}

/// What happens when the last host has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum HandOver {
    #[default]
    Nobody,
    /// The co-host who has been here longest becomes host.
    CoHost,
    /// The room closes after this many minutes unless a host comes back.
    Close {
        #[cfg_attr(feature = "schema", schema(minimum = 1, maximum = 120))]
        minutes: u32,
    },
}

/// The rules of one room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// Shown in the middle of the ring; empty: none.
    pub question: String,
    /// Nobody new comes in; who is here may come back.
    pub locked: bool,
    pub lobby: LobbyRule,
    pub capacity: u32,
    pub text: TextRule,
    pub history: History,
    /// Days that texts are kept, where `history` says days.
    pub history_days: u32,
    pub hands: HandOrder,
    pub microphones: Microphones,
    pub screens: Screens,
    pub hand_over: HandOver,
    /// Everybody sees one line for each thing a host does to others.
    pub moderation_shown: bool,
    /// How many people there are is shown to everybody; else to those who moderate.
    pub count_shown: bool,
    /// The room asks for end-to-end encryption of sound and picture: pages act on it when they come in.
    pub encryption: bool,
    pub agreement: Agreement,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            question: String::new(),
            locked: false,
            lobby: LobbyRule::default(),
            capacity: CAPACITY_DEFAULT,
            text: TextRule::default(),
            history: History::default(),
            history_days: HISTORY_DAYS_DEFAULT,
            hands: HandOrder::default(),
            microphones: Microphones::default(),
            screens: Screens::default(),
            hand_over: HandOver::default(),
            moderation_shown: true,
            count_shown: true,
            encryption: false,
            agreement: Agreement::default(),
        }
    }
}

/// What a host changes; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettingsChange {
    #[cfg_attr(feature = "schema", schema(max_length = 200))]
    pub question: Option<String>,
    pub locked: Option<bool>,
    pub lobby: Option<LobbyRule>,
    #[cfg_attr(feature = "schema", schema(minimum = 1, maximum = 500))]
    pub capacity: Option<u32>,
    pub text: Option<TextRule>,
    pub history: Option<History>,
    #[cfg_attr(feature = "schema", schema(minimum = 1, maximum = 90))]
    pub history_days: Option<u32>,
    pub hands: Option<HandOrder>,
    pub microphones: Option<Microphones>,
    pub screens: Option<Screens>,
    pub hand_over: Option<HandOver>,
    pub moderation_shown: Option<bool>,
    pub count_shown: Option<bool>,
    pub encryption: Option<bool>,
    /// The agreement's words; the version follows by itself. Empty: nothing is asked.
    #[cfg_attr(feature = "schema", schema(max_items = 12))]
    pub agreement: Option<Vec<String>>,
}

impl Settings {
    /// These rules with `change` made.
    pub(crate) fn changed(&self, change: SettingsChange) -> Result<Self, Refusal> {
        let agreement = match change.agreement {
            Some(lines) => self.agreement.reworded(lines)?,
            None => self.agreement.clone(),
        };
        let changed = Self {
            question: change.question.map_or_else(|| self.question.clone(), |text| text.trim().to_owned()),
            locked: change.locked.unwrap_or(self.locked),
            lobby: change.lobby.unwrap_or(self.lobby),
            capacity: change.capacity.unwrap_or(self.capacity),
            text: change.text.unwrap_or(self.text),
            history: change.history.unwrap_or(self.history),
            history_days: change.history_days.unwrap_or(self.history_days),
            hands: change.hands.unwrap_or(self.hands),
            microphones: change.microphones.unwrap_or(self.microphones),
            screens: change.screens.unwrap_or(self.screens),
            hand_over: change.hand_over.unwrap_or(self.hand_over),
            moderation_shown: change.moderation_shown.unwrap_or(self.moderation_shown),
            count_shown: change.count_shown.unwrap_or(self.count_shown),
            encryption: change.encryption.unwrap_or(self.encryption),
            agreement,
        };
        if changed.is_within_bounds() { Ok(changed) } else { Err(Refusal::SettingOutOfBounds) }
    }

    /// Whether somebody with this role is told how many people there are. Seats are shown in any case: who hears you
    /// is never hidden.
    #[must_use]
    pub const fn tells_count_to(&self, role: Role) -> bool {
        self.count_shown || role.may(Action::Admit)
    }

    fn is_within_bounds(&self) -> bool {
        let minutes = match self.hand_over {
            HandOver::Close { minutes } => (1..=CLOSE_MINUTES_MAX).contains(&minutes),
            HandOver::Nobody | HandOver::CoHost => true,
        };
        (self.question.is_empty() || is_line(&self.question))
            && (1..=CAPACITY_MAX).contains(&self.capacity)
            && (1..=HISTORY_DAYS_MAX).contains(&self.history_days)
            && minutes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(json: &str) -> Result<Settings, Refusal> {
        Settings::default().changed(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn what_is_absent_stays_and_what_is_out_of_bounds_is_refused() {
        let changed = change(r#"{"locked":true,"handOver":{"rule":"close","minutes":5}}"#).unwrap();
        let expected =
            Settings { locked: true, hand_over: HandOver::Close { minutes: 5 }, ..Settings::default() };
        assert_eq!(changed, expected);
        for bad in [
            r#"{"capacity":0}"#,
            r#"{"capacity":501}"#,
            r#"{"handOver":{"rule":"close","minutes":0}}"#,
            r#"{"agreement":[""]}"#,
            r#"{"historyDays":0}"#,
            r#"{"history":"days","historyDays":91}"#,
            "{\"question\":\"a\\u0007\"}",
        ] {
            assert_eq!(change(bad), Err(Refusal::SettingOutOfBounds), "{bad}");
        }
        assert!(
            serde_json::from_str::<SettingsChange>(r#"{"loked":true}"#).is_err(),
            "a typo is not silence"
        );
    }

    #[test]
    fn new_words_are_a_new_version() {
        let first = change(r#"{"agreement":["Be kind."]}"#).unwrap();
        assert_eq!(first.agreement.version, 1);
        let same = SettingsChange { agreement: Some(vec!["Be kind.".into()]), ..Default::default() };
        assert_eq!(first.changed(same).unwrap(), first);
        let other = SettingsChange { agreement: Some(Vec::new()), ..Default::default() };
        assert_eq!(first.changed(other).unwrap().agreement, Agreement { version: 2, lines: Vec::new() });
    }

    #[test]
    fn settings_are_read_back_and_older_ones_get_todays_defaults() {
        let changed = change(
            r#"{"lobby":"guests","text":"hosts","history":"days","historyDays":30,"hands":"least-spoken-first",
                "countShown":false,"encryption":true}"#,
        )
        .unwrap();
        let json = serde_json::to_string(&changed).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), changed);
        assert_eq!(serde_json::from_str::<Settings>("{}").unwrap(), Settings::default());
    }
}
