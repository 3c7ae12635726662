/**
 * One participant as the page shows them, and the order in which they sit.
 * Owns the turning of the ring. Must never know media objects or rectangles.
 */

import type { CircleRole, Source } from '../protocol/circle';

export const marks = [
  'moon',
  'ginkgo',
  'ripple',
  'fern',
  'plum',
  'ridge',
  'swallow',
  'down',
  'drop',
  'bamboo',
  'snow',
  'wisteria',
  'stone',
  'camellia',
  'cloud',
  'persimmon',
] as const;
/** The drawn sign that stands for somebody whose camera is off. */
export type Mark = (typeof marks)[number];

export function readMark(value: unknown): Mark | null {
  return marks.find((mark) => mark === value) ?? null;
}

/** Somebody who chose no mark gets one that is the same on every screen. */
export function markFor(identity: string): Mark {
  let sum = 0;
  for (const character of identity) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 65_521;
  return marks[sum % marks.length] ?? 'moon';
}

/** What the media side knows of somebody. */
export interface Present {
  readonly identity: string;
  readonly name: string;
  readonly me: boolean;
  readonly host: boolean;
  readonly mark: Mark;
  /** Server time of joining, milliseconds. */
  readonly joinedAt: number;
  readonly microphone: boolean;
  /** Changes whenever another picture has to be attached; null without a picture. */
  readonly video: string | null;
  /** The same for the screen they show. */
  readonly screen: string | null;
  /** Their picture does not fit our line now: the server holds it back and sends it again when it does. */
  readonly resting: boolean;
  /** Their line is weak: sound and picture may falter. */
  readonly weak: boolean;
  /** The server has lost their line and waits for them. */
  readonly gone: boolean;
  /** What they send is encrypted with another key than ours. */
  readonly unopened: boolean;
}

/** Nothing is heard or seen of somebody. */
export const unheard = { microphone: false, video: null, screen: null, resting: false, weak: false, gone: false, unopened: false } as const;

/** Somebody as the page shows them: what the media side knows, and what the circle knows. */
export interface Person extends Present {
  readonly role: CircleRole;
  /** Place in the queue of raised hands, counted from 1; 0 while the hand is down. */
  readonly hand: number;
  /** What they cannot open by themselves. */
  readonly held: readonly Source[];
  /** Takes part by text alone, without sound and picture. */
  readonly textOnly: boolean;
}

/** Somebody of whom the circle has said nothing yet. */
export function withoutCircle(present: Present): Person {
  return { ...present, role: present.host ? 'host' : 'speaker', hand: 0, held: [], textOnly: false };
}

function samePerson(a: Person, b: Person): boolean {
  return (
    a.identity === b.identity &&
    a.name === b.name &&
    a.me === b.me &&
    a.host === b.host &&
    a.mark === b.mark &&
    a.joinedAt === b.joinedAt &&
    a.microphone === b.microphone &&
    a.video === b.video &&
    a.screen === b.screen &&
    a.resting === b.resting &&
    a.weak === b.weak &&
    a.gone === b.gone &&
    a.unopened === b.unopened &&
    a.role === b.role &&
    a.hand === b.hand &&
    a.textOnly === b.textOnly &&
    a.held.join() === b.held.join()
  );
}

/**
 * Everybody in the order of joining, turned until `me` comes first: the order while no circle is known.
 */
export function seated(before: readonly Person[], now: readonly Person[]): readonly Person[] {
  const order = [...now].sort((a, b) => a.joinedAt - b.joinedAt || (a.identity < b.identity ? -1 : 1));
  return keepSame(before, turned(order));
}

/** Turned until `me` comes first; as it is for somebody without a seat. */
export function turned(order: readonly Person[]): readonly Person[] {
  const mine = Math.max(
    0,
    order.findIndex((person) => person.me),
  );
  return [...order.slice(mine), ...order.slice(0, mine)];
}

/** People who did not change stay the same object, so that only seats that changed are drawn again. */
export function keepSame(before: readonly Person[], now: readonly Person[]): readonly Person[] {
  const known = new Map(before.map((person) => [person.identity, person]));
  const kept = now.map((person) => {
    const old = known.get(person.identity);
    return old !== undefined && samePerson(old, person) ? old : person;
  });
  const unchanged = kept.length === before.length && kept.every((person, seat) => person === before[seat]);
  return unchanged ? before : kept;
}
