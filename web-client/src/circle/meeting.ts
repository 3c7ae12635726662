/**
 * What the room screen knows of the circle besides who is heard and seen: the table, which panel is open, what was
 * read, what is being written, what a host asks of us. Pure; must never know media.
 */

import type { Addressee, CircleRole, Deed, Message, Source } from '../protocol/circle';
import type { Given } from './reactions';
import { stillGiven, withReaction } from './reactions';
import type { DeviceKind } from './room';
import type { Table } from './table';
import { hear, moderates, myRole } from './table';

export type Panel = 'none' | 'text' | 'people';

/** One line that is shown for a while. */
export type Told =
  | { readonly kind: 'refused'; readonly code: string }
  /** Everybody's microphone was shut, by us. */
  | { readonly kind: 'all-muted'; readonly participants: readonly string[] }
  /** `by`: null for the server's operator, who is not in the room. */
  | { readonly kind: 'deed'; readonly by: string | null; readonly deed: Deed; readonly source: Source | null; readonly names: readonly string[] }
  | { readonly kind: 'role'; readonly role: 'host' | 'co-host' | 'speaker' | 'listener' }
  /** We made somebody a host; `was` is what they were before. */
  | { readonly kind: 'host-made'; readonly participant: string; readonly name: string; readonly was: CircleRole }
  /** Sound and picture are encrypted no more. */
  | { readonly kind: 'unsealed' }
  | { readonly kind: 'spotlit' };

export const TELL_FOR_MS = 8_000;

export interface Meeting {
  /** Null until the circle let us in. */
  readonly table: Table | null;
  /** The circle's own line stands. */
  readonly stands: boolean;
  readonly panel: Panel;
  /** To whom the next text goes. */
  readonly to: Addressee;
  /** Number of the newest text that was seen. */
  readonly readUpTo: number;
  /** What is written and not yet sent. */
  readonly draft: string;
  readonly sending: boolean;
  /** A host asks us to open this. */
  readonly asked: Source | null;
  /** We pressed on something that a host holds shut: says why. */
  readonly heldPressed: DeviceKind | null;
  /** Our screen is covered; true from the press on, whatever the line does. */
  readonly away: boolean;
  readonly told: Told | null;
  /** Until when that is shown, milliseconds. */
  readonly toldUntil: number | null;
  /** Signs without a word that are shown just now. */
  readonly given: readonly Given[];
}

export const firstMeeting: Meeting = {
  table: null,
  stands: true,
  panel: 'none',
  to: 'everyone',
  readUpTo: 0,
  draft: '',
  sending: false,
  asked: null,
  heldPressed: null,
  away: false,
  told: null,
  toldUntil: null,
  given: [],
};

export type MeetingEvent =
  | { readonly type: 'circle'; readonly message: Message; readonly at: number }
  | { readonly type: 'circle-line'; readonly stands: boolean }
  | { readonly type: 'panel'; readonly panel: Panel; readonly to?: Addressee }
  | { readonly type: 'draft'; readonly body: string }
  | { readonly type: 'sending'; readonly sending: boolean }
  | { readonly type: 'answered' }
  | { readonly type: 'held-pressed'; readonly kind: DeviceKind | null }
  | { readonly type: 'stepped-away'; readonly away: boolean }
  | { readonly type: 'told'; readonly told: Told | null; readonly at: number }
  | { readonly type: 'faded'; readonly at: number };

export function reduceMeeting(meeting: Meeting, event: MeetingEvent): Meeting {
  switch (event.type) {
    case 'circle':
      return read(heard(meeting, event.message, event.at));
    case 'circle-line':
      return { ...meeting, stands: event.stands };
    case 'panel':
      return read({ ...meeting, panel: event.panel, to: event.to ?? 'everyone' });
    case 'draft':
      return { ...meeting, draft: event.body };
    case 'sending':
      return { ...meeting, sending: event.sending };
    case 'answered':
      return { ...meeting, asked: null };
    case 'held-pressed':
      return { ...meeting, heldPressed: event.kind };
    case 'stepped-away':
      return { ...meeting, away: event.away, asked: null };
    case 'told':
      return telling(meeting, event.told, event.at);
    case 'faded': {
      const given = stillGiven(meeting.given, event.at);
      return given === meeting.given ? meeting : { ...meeting, given };
    }
  }
}

function telling(meeting: Meeting, told: Told | null, at: number): Meeting {
  return { ...meeting, told, toldUntil: told === null ? null : at + TELL_FOR_MS };
}

/** Texts are seen as soon as they come while their panel is open. */
function read(meeting: Meeting): Meeting {
  const last = meeting.table?.texts.at(-1)?.text ?? 0;
  return meeting.panel === 'text' && last > meeting.readUpTo ? { ...meeting, readUpTo: last } : meeting;
}

function heard(meeting: Meeting, message: Message, at: number): Meeting {
  const table = hear(meeting.table, message);
  const next: Meeting = table === meeting.table ? meeting : { ...meeting, table };
  switch (message.type) {
    case 'state': {
      const before = meeting.table;
      // What was said before we came was for others to read; coming back, it is not news.
      const fresh = before === null ? (message.texts.at(-1)?.text ?? 0) : next.readUpTo;
      const role = table === null ? null : myRole(table);
      const changed = before !== null && table !== null && role !== null && myRole(before) !== role;
      const known = { ...next, readUpTo: fresh, away: message.away };
      return changed ? telling(known, { kind: 'role', role }, at) : known;
    }
    case 'settings': {
      const was = meeting.table?.settings.encryption === true;
      return was && table?.settings.encryption === false ? telling(next, { kind: 'unsealed' }, at) : next;
    }
    case 'away':
      return { ...next, away: message.away };
    case 'reaction':
      return { ...next, given: withReaction(next.given, message.participant, message.reaction, at) };
    case 'asked-to-unmute':
      return { ...next, asked: message.source, heldPressed: null };
    case 'muted':
      return next.asked === message.source ? { ...next, asked: null } : next;
    case 'spotlight': {
      const you = table?.you ?? '';
      const now = message.participants.includes(you);
      return now && meeting.table?.spotlight.includes(you) !== true ? telling(next, { kind: 'spotlit' }, at) : next;
    }
    case 'moderation': {
      const { by, deed, source, participants } = message;
      const you = table?.you ?? '';
      // One's own deeds are seen where they are done, and what was done to us is told on its own.
      if (by === you || participants.includes(you)) return next;
      const names = participants.map((one) => meeting.table?.participants.get(one)?.name ?? '').filter((name) => name !== '');
      if (names.length === 0) return next;
      return telling(next, { kind: 'deed', by: by === '' ? null : nameOf(table, by), deed, source: source ?? null, names }, at);
    }
    default:
      return next;
  }
}

function nameOf(table: Table | null, identity: string): string {
  return table?.participants.get(identity)?.name ?? '';
}

/** Texts of others that were not seen yet. */
export function unread(meeting: Meeting): number {
  const { table } = meeting;
  if (table === null) return 0;
  return table.texts.filter((one) => one.text > meeting.readUpTo && one.from !== table.you).length;
}

/** How many people wait before the door, as far as that is ours to know. */
export function knocking(meeting: Meeting): number {
  return meeting.table?.lobby?.length ?? 0;
}

/** Whether we are told how many people there are. */
export function countIsMine(meeting: Meeting): boolean {
  return meeting.table?.settings.countShown !== false || iModerate(meeting);
}

export function iModerate(meeting: Meeting): boolean {
  return meeting.table !== null && moderates(myRole(meeting.table));
}
