/**
 * How one person looks at the room: circle or stage, who is large, whose voice is quieter. Only for oneself; nothing
 * of it is told to anybody. Pure. Must never know rectangles or media objects.
 */

import type { Person } from './person';
import type { Voices } from './voices';
import { isSpeaking } from './voices';

export type View = 'circle' | 'stage';

/** How loud somebody is for oneself, as a share of what they send. Four steps, so that a thumb can choose. */
export const volumes = [1, 0.5, 0.2, 0] as const;
export type Volume = (typeof volumes)[number];

export interface Looking {
  /** What was chosen by hand; null follows the room: the stage while something is shown to all, else the circle. */
  readonly chosen: View | null;
  /** Whom one keeps large for oneself; `whole` shows the picture uncropped. */
  readonly pinned: { readonly identity: string; readonly whole: boolean } | null;
  /** Who spoke last and is not oneself; stays through silence, so that the stage does not jump. */
  readonly dominant: string | null;
  /** Everybody who is not at full volume. By identity, so that it outlives a reload of theirs. */
  readonly quieter: ReadonlyMap<string, Volume>;
}

export type LookingEvent =
  | { readonly type: 'view'; readonly view: View }
  | { readonly type: 'pin'; readonly identity: string | null; readonly whole: boolean }
  | { readonly type: 'volume'; readonly identity: string; readonly volume: Volume };

export const firstLook: Looking = { chosen: null, pinned: null, dominant: null, quieter: new Map() };

export function reduceLooking(looking: Looking, event: LookingEvent): Looking {
  switch (event.type) {
    case 'view':
      return { ...looking, chosen: event.view, pinned: event.view === 'circle' ? null : looking.pinned };
    case 'pin':
      return event.identity === null
        ? // What was pinned goes; the view follows the room again.
          { ...looking, pinned: null, chosen: null }
        : { ...looking, pinned: { identity: event.identity, whole: event.whole }, chosen: 'stage' };
    case 'volume': {
      const quieter = new Map(looking.quieter);
      if (event.volume === 1) quieter.delete(event.identity);
      else quieter.set(event.identity, event.volume);
      return { ...looking, quieter };
    }
  }
}

export function volumeOf(looking: Looking, identity: string): Volume {
  return looking.quieter.get(identity) ?? 1;
}

/** What of the room decides what is large. */
export interface Shown {
  readonly people: readonly Person[];
  /** Whom a host shows large to all, in order. */
  readonly spotlight: readonly string[];
}

/** Whether something is shown to all: a host's choice or somebody's screen. */
export function somethingShown({ people, spotlight }: Shown): boolean {
  return people.some((person) => spotlight.includes(person.identity) || person.screen !== null);
}

/** The room changed: a pin on somebody who left goes, and what is newly shown to all is looked at, whatever was chosen. */
export function followed(looking: Looking, before: Shown, now: Shown, voices: Voices): Looking {
  const here = (identity: string): boolean => now.people.some((person) => person.identity === identity);
  const pinned = looking.pinned !== null && here(looking.pinned.identity) ? looking.pinned : null;
  const begins = somethingShown(now) && !somethingShown(before);
  const dominant = nextDominant(looking.dominant, now.people, voices);
  const chosen = begins || (pinned === null && looking.pinned !== null) ? null : looking.chosen;
  return pinned === looking.pinned && chosen === looking.chosen && dominant === looking.dominant
    ? looking
    : { ...looking, pinned, chosen, dominant };
}

function nextDominant(before: string | null, people: readonly Person[], voices: Voices): string | null {
  const others = people.filter((person) => !person.me);
  const still = others.find((person) => person.identity === before);
  if (still !== undefined && isSpeaking(voices, still.identity)) return still.identity;
  return others.find((person) => isSpeaking(voices, person.identity))?.identity ?? still?.identity ?? null;
}

export function viewNow(looking: Looking, shown: Shown): View {
  return looking.chosen ?? (somethingShown(shown) ? 'stage' : 'circle');
}

export type Why = 'pinned' | 'spotlight' | 'screen' | 'speaker';

/** One picture on the stage. */
export interface Large {
  readonly person: Person;
  readonly source: 'camera' | 'screen';
  readonly why: Why;
  /** Uncropped: a screen, or a camera where one asked for it. */
  readonly whole: boolean;
}

/** What the stage shows, in order: pin, else spotlight, else screens, else who spoke last. Empty only in an empty room. */
export function largeOnes(looking: Looking, shown: Shown): readonly Large[] {
  const { people, spotlight } = shown;
  const large = (person: Person, why: Why, whole = false): Large => ({
    person,
    // Somebody who shows a screen is looked at for it.
    source: person.screen === null ? 'camera' : 'screen',
    why,
    whole: whole || person.screen !== null,
  });
  const { pinned } = looking;
  const kept = people.find((person) => person.identity === pinned?.identity);
  if (kept !== undefined) return [large(kept, 'pinned', pinned?.whole)];
  const lit = spotlight.flatMap((identity) => people.filter((person) => person.identity === identity));
  if (lit.length > 0) return lit.map((person) => large(person, 'spotlight'));
  const screens = people.filter((person) => person.screen !== null);
  if (screens.length > 0) return screens.map((person) => large(person, 'screen'));
  const speaker =
    people.find((person) => person.identity === looking.dominant) ??
    people.find((person) => !person.me && person.video !== null) ??
    people.find((person) => !person.me) ??
    people[0];
  return speaker === undefined ? [] : [large(speaker, 'speaker')];
}
