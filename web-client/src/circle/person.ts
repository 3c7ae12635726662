/**
 * One participant as the page shows them, and the order in which they sit.
 * Owns the seat order. Must never know media objects or rectangles.
 */

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

export interface Person {
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
    a.gone === b.gone
  );
}

/**
 * Everybody in seat order, which is the order of joining and so the same on every screen, turned until `me` comes
 * first. People who did not change stay the same object, so that only seats that changed are drawn again.
 */
export function seated(before: readonly Person[], now: readonly Person[]): readonly Person[] {
  const known = new Map(before.map((person) => [person.identity, person]));
  const order = [...now].sort((a, b) => a.joinedAt - b.joinedAt || (a.identity < b.identity ? -1 : 1));
  const mine = Math.max(
    0,
    order.findIndex((person) => person.me),
  );
  const turned = [...order.slice(mine), ...order.slice(0, mine)].map((person) => {
    const old = known.get(person.identity);
    return old !== undefined && samePerson(old, person) ? old : person;
  });
  const unchanged = turned.length === before.length && turned.every((person, seat) => person === before[seat]);
  return unchanged ? before : turned;
}
