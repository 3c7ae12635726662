/**
 * Who sits where: the circle says who is here and in which order, the media side says how they are heard and seen.
 * Pure; must never know rectangles.
 */

import type { Participant } from '../protocol/circle';
import type { Mark, Person, Present } from './person';
import { keepSame, markFor, turned, unheard, withoutCircle } from './person';
import type { Table } from './table';
import { handOf, moderates } from './table';

/** What we know of ourselves before the media side says anything. */
export interface Me {
  readonly name: string;
  readonly mark: Mark;
}

export interface Ring {
  /** The ring, with us first. */
  readonly people: readonly Person[];
  /** Who listens: not on the ring. */
  readonly listeners: readonly Person[];
}

export function ringOf(before: Ring, table: Table, present: readonly Present[], me: Me): Ring {
  const heard = new Map(present.map((one) => [one.identity, one]));
  const shown = (person: Participant): Person => {
    const mine = person.participant === table.you;
    const media = heard.get(person.participant);
    const base: Present = media ?? {
      identity: person.participant,
      name: person.name,
      me: mine,
      host: false,
      mark: mine ? me.mark : markFor(person.participant),
      joinedAt: person.joinedAt,
      ...unheard,
    };
    return {
      ...base,
      name: person.name,
      me: mine,
      host: moderates(person.role),
      gone: base.gone || (!mine && !person.connected),
      role: person.role,
      hand: handOf(table, person.participant),
      held: person.held,
      textOnly: !person.media && media === undefined,
    };
  };
  const seated = table.seats.flatMap((identity) => {
    const person = table.participants.get(identity);
    return person === undefined ? [] : [shown(person)];
  });
  const sitting = new Set(table.seats);
  const listening = [...table.participants.values()].filter((person) => !sitting.has(person.participant)).map(shown);
  return {
    people: keepSame(before.people, turned(seated)),
    listeners: keepSame(before.listeners, listening),
  };
}

/** The ring as the media side alone knows it. */
export function ringWithout(present: readonly Present[]): readonly Person[] {
  return present.map(withoutCircle);
}

/**
 * The seats once somebody sits one place earlier (-1) or later (1), as we see the ring: from our own seat clockwise. Null
 * where there is nothing to change; around our own seat nobody is moved, which would only turn the ring.
 */
export function movedSeat({ seats, you }: Pick<Table, 'seats' | 'you'>, who: string, step: -1 | 1): readonly string[] | null {
  const mine = Math.max(0, seats.indexOf(you));
  const order = [...seats.slice(mine), ...seats.slice(0, mine)];
  const from = order.indexOf(who);
  const first = order[0] === you ? 1 : 0;
  const to = from + step;
  if (from < first || to < first || to >= order.length) return null;
  order.splice(from, 1);
  order.splice(to, 0, who);
  return order;
}
