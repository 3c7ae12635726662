//! Who speaks in a room, from RFC 6464 levels. Owns the measuring windows; never hears a sample.

use crate::{PeerId, Speaker};
use std::time::{Duration, Instant};

/// Length of a window. Higher: the ring round a speaker comes later; lower: it flickers between words.
const WINDOW: Duration = Duration::from_millis(400);

/// A packet at or above this level (−dBov) counts as voice. Higher number: breathing counts; lower: quiet
/// speakers do not.
const VOICE_LEVEL: u8 = 35;

/// Packets of voice in a window that make a speaker: 40 % of 20 packets of 20 ms.
const VOICE_PACKETS: u32 = 8;

/// Windows without voice before a speaker is silent: pauses between sentences are part of speaking.
const HANGOVER: u8 = 2;

/// Voices measured per room. Beyond it, newcomers are not shown as speaking.
const MAX_VOICES: usize = 1024;

struct Voice {
    peer: PeerId,
    packets: u32,
    loudest: u8,
    smoothed: f32,
    quiet_windows: u8,
    active: bool,
    told: f32,
}

#[derive(Default)]
pub(crate) struct Speakers {
    voices: Vec<Voice>,
    window_end: Option<Instant>,
}

impl Speakers {
    /// Counts one packet's level (0 loudest, 127 silence). Returns whether a window is over.
    pub(crate) fn observe(&mut self, now: Instant, peer: PeerId, level: u8) -> bool {
        let at = match self.voices.iter().position(|voice| voice.peer == peer) {
            Some(at) => at,
            None if self.voices.len() < MAX_VOICES => {
                self.voices.push(Voice {
                    peer,
                    packets: 0,
                    loudest: 127,
                    smoothed: 0.0,
                    quiet_windows: 0,
                    active: false,
                    told: 0.0,
                });
                self.voices.len().saturating_sub(1)
            }
            None => return false,
        };
        if let Some(voice) = self.voices.get_mut(at)
            && level <= VOICE_LEVEL
        {
            voice.packets = voice.packets.saturating_add(1);
            voice.loudest = voice.loudest.min(level);
        }
        let end = *self.window_end.get_or_insert(now + WINDOW);
        now >= end
    }

    /// Closes the window. Only those whose state or level changed, loudest first.
    pub(crate) fn evaluate(&mut self, now: Instant) -> Vec<Speaker> {
        self.window_end = Some(now + WINDOW);
        let mut changed = Vec::new();
        for voice in &mut self.voices {
            let spoke = voice.packets >= VOICE_PACKETS;
            let level = if spoke { (127.0 - f32::from(voice.loudest)) / 127.0 } else { 0.0 };
            voice.smoothed += (level - voice.smoothed) / 2.0;
            voice.quiet_windows = if spoke { 0 } else { voice.quiet_windows.saturating_add(1) };
            let active = spoke || (voice.active && voice.quiet_windows < HANGOVER);
            // In eighths: a client redraws on each change, and finer steps show nothing.
            let told = if active { (voice.smoothed * 8.0).ceil() / 8.0 } else { 0.0 };
            if active != voice.active || (active && told != voice.told) {
                changed.push(Speaker { peer: voice.peer, level: told, active });
            }
            voice.active = active;
            voice.told = told;
            voice.packets = 0;
            voice.loudest = 127;
        }
        changed.sort_by(|a, b| b.level.total_cmp(&a.level));
        changed
    }

    pub(crate) fn is_active(&self, peer: PeerId) -> bool {
        self.voices.iter().any(|voice| voice.peer == peer && voice.active)
    }

    /// The peer's voice ends at once: muted, or gone. Returns what changed.
    pub(crate) fn silence(&mut self, peer: PeerId) -> Option<Speaker> {
        let at = self.voices.iter().position(|voice| voice.peer == peer)?;
        let voice = self.voices.swap_remove(at);
        voice.active.then_some(Speaker { peer, level: 0.0, active: false })
    }

    /// When an open window ends, while somebody is shown as speaking: their stream may simply stop.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.voices.iter().any(|voice| voice.active).then_some(self.window_end?)
    }
}
