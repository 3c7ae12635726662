//! A history as bytes: steps, each with a kind, somebody, a number and some bytes of its own. Plain enough that the seeds can be
//! written, and that a changed byte leaves most of the history as it was.

/// Of one history; the rest is not read.
const STEPS_MAX: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step<'a> {
    pub(crate) kind: u8,
    pub(crate) who: u8,
    pub(crate) number: u16,
    pub(crate) bytes: &'a [u8],
}

/// Kind, who, number and length of the bytes.
const HEAD: usize = 6;

pub(crate) fn read(mut history: &[u8]) -> impl Iterator<Item = Step<'_>> {
    std::iter::from_fn(move || {
        let ([kind, who, high, low, length_high, length_low], rest) = history.split_first_chunk::<HEAD>()?;
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low])).min(rest.len());
        let (bytes, rest) = rest.split_at(length);
        history = rest;
        Some(Step { kind: *kind, who: *who, number: u16::from_be_bytes([*high, *low]), bytes })
    })
    .take(STEPS_MAX)
}

pub(crate) fn write(steps: &[Step<'_>]) -> Vec<u8> {
    let mut history = Vec::new();
    for Step { kind, who, number, bytes } in steps {
        history.extend_from_slice(&[*kind, *who]);
        history.extend_from_slice(&number.to_be_bytes());
        history.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
        history.extend_from_slice(bytes);
    }
    history
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let steps = [
            Step { kind: 1, who: 2, number: 0x1234, bytes: b"abc" },
            Step { kind: 0, who: 255, number: 0, bytes: b"" },
        ];
        assert_eq!(read(&write(&steps)).collect::<Vec<_>>(), steps);
        assert_eq!(read(&[1, 2, 3]).count(), 0);
        assert_eq!(
            read(&[1, 2, 0, 3, 0xff, 0xff, b'x']).next().map(|step| step.bytes),
            Some(b"x".as_slice())
        );
    }
}
