//! The room's promises in plain words, shown before entry. Each change is a new version, so that "I agreed" always
//! means words somebody has seen. Who agreed is remembered while the room lives and never leaves it.

use crate::Refusal;
use crate::limits::{AGREEMENT_LINES_MAX, LINE_MAX};
use serde::{Deserialize, Serialize};

/// What people tick before they come in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Agreement {
    /// Grows with every change of the words.
    pub version: u32,
    /// Empty: nothing is asked.
    pub lines: Vec<String>,
}

impl Agreement {
    /// Whether people are asked to accept it.
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        !self.lines.is_empty()
    }

    /// The next version with these words; the same one when they are the same.
    pub(crate) fn reworded(&self, lines: Vec<String>) -> Result<Self, Refusal> {
        if lines.len() > AGREEMENT_LINES_MAX || !lines.iter().all(|line| is_line(line)) {
            return Err(Refusal::SettingOutOfBounds);
        }
        if lines == self.lines {
            return Ok(self.clone());
        }
        Ok(Self { version: self.version.saturating_add(1), lines })
    }
}

/// One line of plain text, not empty.
pub(crate) fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= LINE_MAX && !text.chars().any(char::is_control)
}
