/**
 * Who is shown as speaking. Owns the two waiting times; must never know where the notice came from.
 */

/** A ring appears after this much voice, so that a cough or a cup does not light it up. */
export const SPEAKING_AFTER_MS = 200;
/** A ring stays this long into silence, so that it does not flicker between words. */
export const SILENT_AFTER_MS = 800;

interface Voice {
  readonly heard: boolean;
  /** When `heard` last changed. */
  readonly at: number;
  readonly shown: boolean;
}
export type Voices = ReadonlyMap<string, Voice>;

export const silence: Voices = new Map();

/** The server named everybody who is speaking now. */
export function heard(voices: Voices, identities: readonly string[], now: number): Voices {
  const next = new Map<string, Voice>();
  for (const identity of identities) {
    const old = voices.get(identity);
    next.set(identity, old?.heard === true ? old : { heard: true, at: now, shown: old?.shown ?? false });
  }
  for (const [identity, old] of voices) {
    if (next.has(identity)) continue;
    // A sound too short to have been shown is forgotten at once.
    if (old.shown) next.set(identity, old.heard ? { heard: false, at: now, shown: true } : old);
  }
  return settled(next, now);
}

/** Time passed: rings whose waiting time is over appear or go. */
export function settled(voices: Voices, now: number): Voices {
  let changed = false;
  const next = new Map<string, Voice>();
  for (const [identity, voice] of voices) {
    if (voice.heard && !voice.shown && now - voice.at >= SPEAKING_AFTER_MS) {
      next.set(identity, { ...voice, shown: true });
      changed = true;
    } else if (!voice.heard && now - voice.at >= SILENT_AFTER_MS) {
      changed = true;
    } else {
      next.set(identity, voice);
    }
  }
  return changed ? next : voices;
}

/** When `settled` will next change something; null when nothing is waiting. */
export function nextVoiceChange(voices: Voices): number | null {
  let next: number | null = null;
  for (const voice of voices.values()) {
    if (voice.heard && voice.shown) continue;
    const due = voice.at + (voice.heard ? SPEAKING_AFTER_MS : SILENT_AFTER_MS);
    if (next === null || due < next) next = due;
  }
  return next;
}

export function isSpeaking(voices: Voices, identity: string): boolean {
  return voices.get(identity)?.shown === true;
}
