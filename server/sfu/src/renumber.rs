//! How the packets of a layer are numbered for one subscriber: without the gaps that the change of layers and the frames
//! left out would make. Owns the way from incoming to outgoing numbers and back.

use std::collections::VecDeque;

/// Stretches remembered for video; each frame left out begins one. Higher: 56 bytes each; lower: what was lost earlier
/// cannot be repaired any more (64 are two seconds of 30 frames a second, of which every other is left out).
const VIDEO_STRETCHES: usize = 64;

/// The same for audio, which leaves out only when a voice pauses.
const AUDIO_STRETCHES: usize = 4;

/// Packets in a row that are renumbered alike: `out = in + offset`, all wrapping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) layer: usize,
    /// First incoming and outgoing sequence numbers of the stretch.
    pub(crate) first_in: u64,
    pub(crate) first_out: u64,
    pub(crate) timestamp_offset: u32,
    pub(crate) picture_id_offset: u16,
    pub(crate) tl0_offset: u8,
    /// The part of the layer that goes out: a highest temporal layer (VP8), or a decode target.
    pub(crate) part: u8,
    /// The highest spatial layer of that decode target.
    pub(crate) spatial: u8,
    /// It follows no other of the same layer: the numbers before it mean something else.
    pub(crate) begins: bool,
}

impl Stretch {
    fn out(&self, sequence: u64) -> u64 {
        self.first_out.wrapping_add(sequence.wrapping_sub(self.first_in))
    }

    fn incoming(&self, out: u64) -> u64 {
        self.first_in.wrapping_add(out.wrapping_sub(self.first_out))
    }
}

/// The stretches of one outgoing stream.
pub(crate) struct Numbers {
    /// The one that goes out now, apart from the others because every packet needs it.
    last: Option<Stretch>,
    /// Those before, newest last.
    older: VecDeque<Stretch>,
    most: usize,
}

impl Numbers {
    pub(crate) fn new(video: bool) -> Self {
        let most = if video { VIDEO_STRETCHES } else { AUDIO_STRETCHES };
        Self { last: None, older: VecDeque::new(), most }
    }

    pub(crate) fn last(&self) -> Option<&Stretch> {
        self.last.as_ref()
    }

    pub(crate) fn push(&mut self, stretch: Stretch) {
        let Some(before) = self.last.replace(stretch) else { return };
        if self.older.len() >= self.most {
            self.older.pop_front();
        }
        self.older.push_back(before);
    }

    fn newest_first(&self) -> impl Iterator<Item = &Stretch> {
        self.last.iter().chain(self.older.iter().rev())
    }

    /// The outgoing number of a packet of the layer that goes out now, and its stretch. `None` for one that was left out,
    /// or came before the beginning.
    pub(crate) fn out(&self, sequence: u64) -> Option<(Stretch, u64)> {
        let mut next: Option<u64> = None;
        for stretch in self.newest_first() {
            if stretch.first_in <= sequence {
                let out = stretch.out(sequence);
                return next.is_none_or(|next| out < next).then_some((*stretch, out));
            }
            if stretch.begins {
                return None;
            }
            next = Some(stretch.first_out);
        }
        None
    }

    /// Which packet went out under this number: its stretch and incoming number.
    pub(crate) fn incoming(&self, out: u64) -> Option<(Stretch, u64)> {
        let stretch = self.newest_first().find(|stretch| stretch.first_out <= out)?;
        Some((*stretch, stretch.incoming(out)))
    }

    /// Leaves the newest packet out: those after it close up. `new_picture`: it is the first of a picture left out.
    pub(crate) fn skip(&mut self, sequence: u64, new_picture: bool) {
        let Some(last) = self.last.as_mut() else { return };
        let picture_id_offset = last.picture_id_offset.wrapping_sub(u16::from(new_picture));
        if last.first_in == sequence {
            last.first_in = sequence.wrapping_add(1);
            last.picture_id_offset = picture_id_offset;
            return;
        }
        let (first_in, first_out) = (sequence.wrapping_add(1), last.out(sequence));
        let next = Stretch { first_in, first_out, picture_id_offset, begins: false, ..*last };
        self.push(next);
    }

    /// From the newest packet on, another part of the layer goes out.
    pub(crate) fn turn(&mut self, sequence: u64, part: u8, spatial: u8) {
        let Some(last) = self.last.as_mut() else { return };
        if last.first_in == sequence {
            (last.part, last.spatial) = (part, spatial);
            return;
        }
        let next = Stretch {
            first_in: sequence,
            first_out: last.out(sequence),
            part,
            spatial,
            begins: false,
            ..*last
        };
        self.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(first_in: u64, first_out: u64) -> Numbers {
        let mut numbers = Numbers::new(true);
        numbers.push(Stretch {
            layer: 0,
            first_in,
            first_out,
            timestamp_offset: 0,
            picture_id_offset: 100,
            tl0_offset: 0,
            part: 0,
            spatial: 0,
            begins: true,
        });
        numbers
    }

    #[test]
    fn what_is_left_out_leaves_no_gap_and_the_way_back_is_exact() {
        let mut numbers = numbers(1000, 50);
        let mut sent = Vec::new();
        for sequence in 1000..1060 {
            if matches!(sequence % 6, 2 | 3 | 5) {
                numbers.skip(sequence, sequence % 6 != 3);
            } else {
                sent.push((sequence, numbers.out(sequence).expect("a number").1));
            }
        }
        for (at, (sequence, out)) in sent.iter().enumerate() {
            assert_eq!(*out, 50 + at as u64, "without a gap");
            assert_eq!(numbers.incoming(*out).expect("a stretch").1, *sequence);
        }
        for sequence in 1000..1060 {
            let known = sent.iter().find(|(known, _)| *known == sequence).map(|(_, out)| *out);
            assert_eq!(numbers.out(sequence).map(|(_, out)| out), known, "also afterwards: {sequence}");
        }
        assert_eq!(numbers.last().expect("a stretch").picture_id_offset, 100 - 20);
    }

    #[test]
    fn a_missing_packet_keeps_its_number() {
        let mut numbers = numbers(10, 10);
        assert_eq!(numbers.out(11).map(|(_, out)| out), Some(11));
        // 12 is missing, 13 is left out.
        numbers.skip(13, true);
        assert_eq!(numbers.out(14).map(|(_, out)| out), Some(13));
        assert_eq!(numbers.out(12).map(|(_, out)| out), Some(12), "it came late");
        assert_eq!(numbers.out(13).map(|(_, out)| out), None);
    }

    #[test]
    fn nothing_before_the_beginning_has_a_number_and_old_stretches_are_forgotten() {
        let mut numbers = numbers(10, 10);
        numbers.push(Stretch {
            layer: 1,
            first_in: 5,
            first_out: 20,
            begins: true,
            ..*numbers.last().expect("one")
        });
        assert!(numbers.out(4).is_none());
        assert_eq!(numbers.incoming(19).map(|(stretch, at)| (stretch.layer, at)), Some((0, 19)));
        for sequence in 6..400 {
            if sequence % 2 == 0 {
                numbers.skip(sequence, true);
            }
        }
        assert!(numbers.out(7).is_none() && numbers.incoming(19).is_none());
        assert!(numbers.older.len() <= VIDEO_STRETCHES);
    }
}
