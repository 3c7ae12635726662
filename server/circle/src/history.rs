//! How long texts are kept: not at all, until the meeting ends, or for days and over meetings. What is kept for days
//! is on disk too: here stands what the disk is told. Private lines never are.

use crate::conversation::audience;
use crate::text::{KeptText, Text};
use crate::{Addressee, Effect, Event, History, Room, Settings};

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

impl Settings {
    /// How long a text is kept where `history` says days.
    const fn history_millis(&self) -> u64 {
        (self.history_days as u64).saturating_mul(DAY_MILLIS)
    }
}

impl Room {
    /// Takes up what earlier meetings wrote and the room still keeps, oldest first. Call before anybody comes in. What
    /// does not fit is forgotten.
    pub fn recall(&mut self, texts: Vec<KeptText>) {
        if self.settings.history == History::Days {
            for kept in texts {
                for gone in self.texts.recall(kept) {
                    self.effect(Effect::ForgetText { text: gone });
                }
            }
        }
    }

    /// Keeps a new text as the room says. Beyond the room's bounds the oldest go.
    pub(crate) fn keep_text(&mut self, text: &Text) {
        let until = match (self.settings.history, &text.to) {
            (History::None, _) => return,
            (History::Days, Addressee::Everyone) => {
                Some(self.now.unix_millis.saturating_add(self.settings.history_millis()))
            }
            (History::Days | History::Meeting, _) => None,
        };
        if let Some(until) = until {
            self.effect(Effect::KeepText(KeptText { text: text.clone(), until }));
        }
        for gone in self.texts.keep(text.clone(), until) {
            self.effect(Effect::ForgetText { text: gone });
        }
    }

    /// Forgets what was kept long enough. The disk does so by itself.
    pub(crate) fn forget_overdue_texts(&mut self) {
        let now = self.now.unix_millis;
        let overdue = self.texts.take(|_, until, _| until.is_some_and(|until| until <= now));
        self.tell_forgotten(overdue);
    }

    /// The rule changed: what is kept longer than it says goes now. Nothing is kept for longer than was said when it
    /// was written.
    pub(crate) fn apply_history(&mut self, before: &Settings) {
        let was_on_disk = before.history == History::Days;
        match self.settings.history {
            History::None => {
                let all = self.texts.take(|_, until, _| until.is_some());
                self.tell_forgotten(all);
                self.texts.clear();
            }
            History::Meeting => {
                let earlier = self.texts.take(|_, _, earlier| earlier);
                self.tell_forgotten(earlier);
                self.texts.leave_the_disk();
            }
            History::Days => {
                if was_on_disk {
                    let millis = self.settings.history_millis();
                    self.texts.shorten(millis);
                    self.effect(Effect::ShortenTexts { millis });
                    self.forget_overdue_texts();
                }
                return;
            }
        }
        if was_on_disk {
            self.effect(Effect::ForgetTexts);
        }
    }

    fn tell_forgotten(&mut self, texts: Vec<Text>) {
        for text in texts {
            self.unwrite(text.text);
            self.tell(audience(&text), Event::TextRemoved { text: text.text });
        }
    }
}
