/**
 * The circle as this person may see it, kept up to date by what the socket says.
 * Pure: `hear(table, message)`. Must never know sockets, media or screens.
 */

import type {
  CircleRole,
  Hand,
  Knock,
  Message,
  Participant,
  Settings,
  Source,
  Written,
} from '../protocol/circle';

/** Texts kept for showing; the server keeps as many. */
const TEXTS_MAX = 200;

export interface Table {
  readonly you: string;
  readonly away: boolean;
  readonly settings: Settings;
  readonly participants: ReadonlyMap<string, Participant>;
  /** The ring, clockwise. */
  readonly seats: readonly string[];
  /** In the order they were raised. */
  readonly hands: readonly Hand[];
  readonly spotlight: readonly string[];
  readonly texts: readonly Written[];
  /** Who waits before the door, for those who can open it; null for everybody else. */
  readonly lobby: readonly Knock[] | null;
  /** When the room closes for want of a host, milliseconds since 1970. */
  readonly closesAt: number | null;
}

/** The table after `message`; null as long as no state came. Messages that do not concern it change nothing. */
export function hear(table: Table | null, message: Message): Table | null {
  if (message.type === 'state') {
    const { you, away, settings, seats, hands, spotlight, texts } = message;
    const participants = new Map(message.participants.map((person) => [person.participant, person]));
    return {
      you,
      away,
      settings,
      participants,
      seats,
      hands,
      spotlight,
      texts,
      lobby: message.lobby ?? null,
      closesAt: message.closesAt ?? null,
    };
  }
  if (table === null) return null;
  switch (message.type) {
    case 'joined': {
      const { person, seat } = message;
      const seats = table.seats.filter((one) => one !== person.participant);
      if (seat !== undefined) seats.splice(seat, 0, person.participant);
      return { ...table, participants: withPerson(table, person), seats };
    }
    case 'changed':
      return { ...table, participants: withPerson(table, message.person) };
    case 'left': {
      const gone = message.participant;
      const participants = new Map(table.participants);
      participants.delete(gone);
      return {
        ...table,
        participants,
        seats: table.seats.filter((one) => one !== gone),
        hands: table.hands.filter((hand) => hand.participant !== gone),
        spotlight: table.spotlight.filter((one) => one !== gone),
      };
    }
    case 'held': {
      const participants = new Map(table.participants);
      for (const identity of message.participants) {
        const person = participants.get(identity);
        if (person !== undefined) participants.set(identity, holding(person, message.source, message.held));
      }
      return { ...table, participants };
    }
    case 'seats':
      return { ...table, seats: message.seats };
    case 'hands':
      return { ...table, hands: message.hands };
    case 'spotlight':
      return { ...table, spotlight: message.participants };
    case 'settings':
      return { ...table, settings: message.settings };
    case 'text':
      return { ...table, texts: [...table.texts, message.text].slice(-TEXTS_MAX) };
    case 'text-removed':
      return { ...table, texts: table.texts.filter((one) => one.text !== message.text) };
    case 'away':
      return { ...table, away: message.away };
    case 'knocked': {
      const others = (table.lobby ?? []).filter((one) => one.participant !== message.knock.participant);
      return { ...table, lobby: [...others, message.knock] };
    }
    case 'knock-ended':
      return table.lobby === null
        ? table
        : { ...table, lobby: table.lobby.filter((one) => one.participant !== message.participant) };
    case 'closing':
      return { ...table, closesAt: message.at };
    default:
      return table;
  }
}

function withPerson(table: Table, person: Participant): ReadonlyMap<string, Participant> {
  return new Map(table.participants).set(person.participant, person);
}

function holding(person: Participant, source: Source, held: boolean): Participant {
  const others = person.held.filter((one) => one !== source);
  return { ...person, held: held ? [...others, source] : others };
}

export function myRole(table: Table): CircleRole {
  return table.participants.get(table.you)?.role ?? 'listener';
}

/** Hosts and co-hosts. */
export function moderates(role: CircleRole): boolean {
  return role === 'host' || role === 'co-host';
}

/** Whether somebody of `role` may moderate somebody of `other`: a co-host does nothing to a host. */
export function reaches(role: CircleRole, other: CircleRole): boolean {
  return role === 'host' || (role === 'co-host' && other !== 'host');
}

/** Place in the queue of raised hands, counted from 1; 0 while the hand is down. */
export function handOf(table: Table, identity: string): number {
  return table.hands.findIndex((hand) => hand.participant === identity) + 1;
}

/** Whether this person may write to everybody. */
export function mayWrite(table: Table): boolean {
  const { text } = table.settings;
  return text === 'everyone' || moderates(myRole(table));
}

export function hosts(table: Table): readonly Participant[] {
  return [...table.participants.values()].filter((person) => person.role === 'host');
}
