//! Which open microphones of a room are forwarded. A few: all of them. Many: the loudest, by RFC 6464 levels, because
//! nobody follows more voices at once and each costs every receiver bandwidth. Owns the ranking; never sees a packet.

use crate::TrackId;
use std::time::{Duration, Instant};

/// Open microphones up to which all are forwarded. Higher: more sound to decode and carry for everybody; lower: an
/// ordinary circle loses interjections.
const ALL_UP_TO: usize = 12;

/// Ranking ends when so few are open again, so that one microphone more or less does not switch it on and off.
const ALL_AGAIN_AT: usize = 10;

/// Microphones forwarded while there are more. Higher: as above; lower: lively talk loses voices.
const LOUDEST: usize = 6;

/// A microphone that sent nothing for this long is closed (Opus with DTX sends a packet each 400 ms). Higher: a ranking
/// outlives its reason; lower: silence looks like a closed microphone.
const OPEN: Duration = Duration::from_secs(2);

/// Somebody without a packet for [`SILENT`] (DTX) counts as quieter by so many dB each second. Higher: a pause between
/// words costs the place; lower: a voice that stopped keeps it.
const FADE: f32 = 60.0;
const SILENT: Duration = Duration::from_millis(150);

/// A place is kept for at least this long. Higher: an interjection waits; lower: voices are cut into syllables.
const KEPT: Duration = Duration::from_millis(1000);

/// How much louder, in dB, a newcomer must be than the quietest forwarded one. Higher: quiet people do not get in; lower:
/// equally loud people take turns by the second.
const MARGIN: f32 = 6.0;

/// Share of the way to a packet's level that the measured loudness goes: up within 100 ms, down within a second.
const ATTACK: f32 = 0.3;
const RELEASE: f32 = 0.03;

/// Microphones ranked per room; beyond it, newcomers are not heard while there are so many.
const MAX_VOICES: usize = 1024;

struct Voice {
    track: TrackId,
    /// dB above silence, 0 to 127, smoothed.
    loudness: f32,
    last: Instant,
    /// Since when it is forwarded.
    heard: Option<Instant>,
}

impl Voice {
    fn loudness(&self, now: Instant) -> f32 {
        let silent = now.saturating_duration_since(self.last).saturating_sub(SILENT);
        (self.loudness - FADE * silent.as_secs_f32()).max(0.0)
    }
}

#[derive(Default)]
pub(crate) struct Loudest {
    voices: Vec<Voice>,
    ranking: bool,
}

impl Loudest {
    /// Counts one packet of an open microphone (`level` in −dBov: 0 loudest, 127 silence) and says whether the track is
    /// forwarded now.
    pub(crate) fn admit(&mut self, now: Instant, track: TrackId, level: u8) -> bool {
        let loudness = 127.0 - f32::from(level.min(127));
        let at = match self.voices.iter().position(|voice| voice.track == track) {
            Some(at) => at,
            None => {
                self.voices.retain(|voice| now.saturating_duration_since(voice.last) < OPEN);
                if self.voices.len() >= MAX_VOICES {
                    return false;
                }
                self.voices.push(Voice { track, loudness, last: now, heard: None });
                self.voices.len().saturating_sub(1)
            }
        };
        if let Some(voice) = self.voices.get_mut(at) {
            let step = loudness - voice.loudness;
            voice.loudness += step * if step > 0.0 { ATTACK } else { RELEASE };
            voice.last = now;
        }
        self.count(now);
        if !self.ranking {
            return true;
        }
        self.take_place(now, at);
        self.voices.get(at).is_some_and(|voice| voice.heard.is_some())
    }

    /// The track is muted, blocked or gone.
    pub(crate) fn forget(&mut self, track: TrackId) {
        self.voices.retain(|voice| voice.track != track);
    }

    /// Begins and ends the ranking.
    fn count(&mut self, now: Instant) {
        let few = if self.ranking { ALL_AGAIN_AT } else { ALL_UP_TO };
        if self.voices.len() <= few && !self.ranking {
            return;
        }
        let is_open = |voice: &Voice| now.saturating_duration_since(voice.last) < OPEN;
        let open = self.voices.iter().filter(|voice| is_open(voice)).count();
        match (self.ranking, open > few) {
            (false, true) => {
                self.ranking = true;
                self.voices.iter_mut().for_each(|voice| voice.heard = None);
                for _ in 0..LOUDEST {
                    let unheard = self.voices.iter_mut().filter(|voice| voice.heard.is_none());
                    if let Some(voice) = unheard.max_by(|a, b| a.loudness(now).total_cmp(&b.loudness(now))) {
                        voice.heard = Some(now);
                    }
                }
            }
            (true, false) => self.ranking = false,
            _ => {}
        }
    }

    /// Gives the voice at `at` a free place, or that of the quietest one if it is clearly louder.
    fn take_place(&mut self, now: Instant, at: usize) {
        let Some(loudness) = self.voices.get(at).filter(|v| v.heard.is_none()).map(|v| v.loudness(now))
        else {
            return;
        };
        let mut places = 0_usize;
        let mut quietest: Option<(usize, f32, Instant)> = None;
        for (place, voice) in self.voices.iter_mut().enumerate() {
            let Some(since) = voice.heard else { continue };
            if now.saturating_duration_since(voice.last) >= OPEN {
                voice.heard = None;
                continue;
            }
            places = places.saturating_add(1);
            let loudness = voice.loudness(now);
            if quietest.is_none_or(|(_, other, _)| loudness < other) {
                quietest = Some((place, loudness, since));
            }
        }
        if places >= LOUDEST {
            let Some((place, other, since)) = quietest else { return };
            if loudness < other + MARGIN || now.saturating_duration_since(since) < KEPT {
                return;
            }
            if let Some(voice) = self.voices.get_mut(place) {
                voice.heard = None;
            }
        }
        if let Some(voice) = self.voices.get_mut(at) {
            voice.heard = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Crowd {
        loudest: Loudest,
        now: Instant,
        levels: Vec<u8>,
    }

    impl Crowd {
        #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
        fn new(levels: &[u8]) -> Self {
            Self { loudest: Loudest::default(), now: Instant::now(), levels: levels.to_vec() }
        }

        /// Everybody sends for so many packets of 20 ms; who was forwarded in the last round.
        fn run(&mut self, packets: usize) -> Vec<usize> {
            let mut heard = Vec::new();
            for _ in 0..packets {
                heard.clear();
                self.now += Duration::from_millis(20);
                for (who, level) in self.levels.iter().enumerate() {
                    // 127 stands for DTX: nothing is sent.
                    if *level < 127 && self.loudest.admit(self.now, TrackId(who as u64), *level) {
                        heard.push(who);
                    }
                }
            }
            heard
        }
    }

    #[test]
    fn twelve_open_microphones_are_all_heard() {
        let mut crowd = Crowd::new(&[60; 12]);
        assert_eq!(crowd.run(200).len(), 12);
    }

    #[test]
    fn of_more_the_six_loudest_are_heard_and_a_new_voice_gets_in_at_once() {
        let mut levels = [70; 20];
        for who in [2, 3, 5, 8, 13, 17] {
            levels[who] = 30;
        }
        let mut crowd = Crowd::new(&levels);
        assert_eq!(crowd.run(100), [2, 3, 5, 8, 13, 17]);
        crowd.levels[5] = 70;
        crowd.levels[19] = 30;
        assert!(crowd.run(25).contains(&19), "within half a second");
        assert_eq!(crowd.run(100), [2, 3, 8, 13, 17, 19]);
    }

    #[test]
    fn equally_loud_people_do_not_take_turns() {
        let mut crowd = Crowd::new(&[30; 20]);
        let first = crowd.run(100);
        assert_eq!(first.len(), 6);
        for round in 0..50 {
            for (who, level) in crowd.levels.iter_mut().enumerate() {
                *level = 30 + ((who * 7 + round * 3) % 5) as u8;
            }
            assert_eq!(crowd.run(10), first);
        }
    }

    #[test]
    fn a_pause_between_words_costs_nobody_the_place() {
        let mut levels = [70; 20];
        levels[..6].fill(30);
        let mut crowd = Crowd::new(&levels);
        crowd.run(100);
        crowd.levels[0] = 127;
        crowd.run(20);
        crowd.levels[0] = 30;
        assert_eq!(crowd.run(1), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn ranking_ends_when_few_are_open_and_not_a_moment_before() {
        let mut crowd = Crowd::new(&[30; 13]);
        assert_eq!(crowd.run(10).len(), 6);
        crowd.levels.truncate(11);
        assert_eq!(crowd.run(200).len(), 6, "eleven are not few again");
        crowd.levels.truncate(10);
        assert_eq!(crowd.run(200).len(), 10);
        crowd.levels.resize(12, 30);
        assert_eq!(crowd.run(200).len(), 12);
    }

    #[test]
    fn a_muted_voice_gives_its_place_up() {
        let mut crowd = Crowd::new(&[30; 14]);
        let heard = crowd.run(100);
        for who in &heard {
            crowd.loudest.forget(TrackId(*who as u64));
            crowd.levels[*who] = 127;
        }
        assert_eq!(crowd.run(2).len(), 8, "eight are open: all of them");
    }
}
