//! What a room token says for a ban that outlives the meeting: by which invite somebody came, and the trace of what
//! their browser keeps. It stands in the token as one opaque text, so that the server needs no list of who came in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use store::{InviteId, Trace};

/// Where somebody came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) invite: InviteId,
    pub(crate) mark: Option<Trace>,
}

impl Origin {
    pub(crate) fn write(self) -> String {
        let mark = self.mark.map(|mark| URL_SAFE_NO_PAD.encode(mark.as_bytes()));
        format!("{}.{}", self.invite.0, mark.unwrap_or_default())
    }

    /// `None` for a text that this server did not write.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (invite, mark) = text.split_once('.')?;
        let mark = match mark {
            "" => None,
            mark => Some(<[u8; 32]>::try_from(URL_SAFE_NO_PAD.decode(mark).ok()?).ok()?.into()),
        };
        Some(Self { invite: InviteId(invite.parse().ok()?), mark })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for mark in [None, Some(Trace::of_mark("room", "mark"))] {
            let origin = Origin { invite: InviteId(7), mark };
            assert_eq!(Origin::read(&origin.write()), Some(origin));
        }
        for nothing in ["", "7", "x.", "7.short", "7.!"] {
            assert_eq!(Origin::read(nothing), None, "{nothing}");
        }
    }
}
