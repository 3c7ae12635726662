/**
 * Whose key of the room's sound and picture differs, as far as it shows: our own page sees only whom it cannot open.
 * Pure; must never know a key.
 */

import type { Person } from './person';

/** `mine`: nobody can be opened; `either`: there is one other to compare with; `theirs`: others can be opened. */
export type OtherKey =
  | { readonly whose: 'mine' }
  | { readonly whose: 'either'; readonly name: string }
  | { readonly whose: 'theirs'; readonly names: readonly string[] };

export function otherKey(people: readonly Person[]): OtherKey | null {
  const others = people.filter((person) => !person.me);
  const unopened = others.filter((person) => person.unopened);
  const [first] = unopened;
  if (first === undefined) return null;
  // Who sends nothing says nothing about keys.
  const opened = others.filter((person) => !person.unopened && (person.microphone || person.video !== null || person.screen !== null));
  if (opened.length > 0) return { whose: 'theirs', names: unopened.map((person) => person.name) };
  return unopened.length > 1 ? { whose: 'mine' } : { whose: 'either', name: first.name };
}
