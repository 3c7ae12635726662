/**
 * The circle's JSON (`server/circle/PROTOCOL.md`): what the server says and what it is asked. Tests hold both against
 * the golden messages of the server's own tests. Must never know a screen or a socket.
 */

import type { Read } from './read';
import { either, flag, list, number, oneOf, orNull, record, recordWith, text } from './read';

export const roleWords = ['host', 'co-host', 'speaker', 'listener'] as const;
export type CircleRole = (typeof roleWords)[number];
const role = oneOf(...roleWords);
const source = oneOf('microphone', 'camera', 'screen');
export type Source = Read<typeof source>;

const agreement = record({ version: number, lines: list(text) });
export type Agreement = Read<typeof agreement>;

const handOver = either(
  record({ rule: oneOf('close'), minutes: number }),
  record({ rule: oneOf('nobody', 'co-host') }),
);
const settings = record({
  question: text,
  locked: flag,
  lobby: oneOf('off', 'guests', 'everybody'),
  capacity: number,
  text: oneOf('everyone', 'hosts', 'off'),
  history: oneOf('none', 'meeting', 'days'),
  historyDays: number,
  hands: oneOf('in-order', 'least-spoken-first'),
  microphones: oneOf('free', 'held'),
  screens: oneOf('everyone', 'hosts'),
  handOver,
  moderationShown: flag,
  countShown: flag,
  encryption: flag,
  agreement,
});
export type Settings = Read<typeof settings>;

const participant = record({
  participant: text,
  name: text,
  role,
  joinedAt: number,
  connected: flag,
  media: flag,
  held: list(source),
});
export type Participant = Read<typeof participant>;

const hand = record({ participant: text, raisedAt: number });
export type Hand = Read<typeof hand>;
const addressee = either(oneOf('everyone', 'hosts'), record({ participant: text }));
export type Addressee = Read<typeof addressee>;
const written = record({ text: number, from: text, name: text, to: addressee, body: text, at: number });
export type Written = Read<typeof written>;
const knock = record({ participant: text, name: text, since: number });
export type Knock = Read<typeof knock>;
const deed = oneOf('mute', 'lower-hands', 'remove', 'ban', 'remove-text');
export type Deed = Read<typeof deed>;

const people = { participants: list(text) };
const moved = { revision: number };

const messages = {
  // Answers: for this connection alone.
  ok: record({ id: number, revision: number }),
  refused: recordWith({ code: text, message: text }, { id: number }),
  state: recordWith(
    {
      epoch: text,
      revision: number,
      you: text,
      away: flag,
      settings,
      participants: list(participant),
      seats: list(text),
      hands: list(hand),
      spotlight: list(text),
      texts: list(written),
    },
    { lobby: list(knock), closesAt: number },
  ),
  'caught-up': record({ revision: number }),
  waiting: recordWith({ waitsFor: oneOf('agreement', 'host'), question: text, agreement }, { inside: number }),
  line: record({ line: text }),
  elsewhere: record({}),
  stopping: record({}),
  token: record({ token: text }),
  // Events, each with the revision it leads to.
  joined: recordWith({ ...moved, person: participant }, { seat: number }),
  changed: record({ ...moved, person: participant }),
  left: record({ ...moved, participant: text }),
  held: record({ ...moved, source, held: flag, ...people }),
  seats: record({ ...moved, seats: list(text) }),
  hands: record({ ...moved, hands: list(hand) }),
  spotlight: record({ ...moved, ...people }),
  settings: record({ ...moved, settings }),
  text: record({ ...moved, text: written }),
  'text-removed': record({ ...moved, text: number }),
  reaction: record({ ...moved, participant: text, reaction: text }),
  moderation: recordWith({ ...moved, by: text, deed, ...people }, { source }),
  muted: record({ ...moved, source }),
  'asked-to-unmute': record({ ...moved, source }),
  away: record({ ...moved, away: flag }),
  removed: record({ ...moved, banned: flag }),
  knocked: record({ ...moved, knock }),
  'knock-ended': record({ ...moved, participant: text }),
  closing: record({ ...moved, at: orNull(number) }),
  ended: record({ ...moved }),
};
type Messages = typeof messages;
export type Message = { [K in keyof Messages]: { readonly type: K } & Read<Messages[K]> }[keyof Messages];
export type Said<K extends Message['type']> = Extract<Message, { readonly type: K }>;

/** One frame; null for a word this page does not know (a newer server) or cannot read. */
export function readMessage(frame: string): Message | null {
  try {
    const value: unknown = JSON.parse(frame);
    const { type } = record({ type: text })(value);
    if (!Object.hasOwn(messages, type)) return null;
    const known = type as keyof Messages;
    return { type: known, ...messages[known](value) } as Message;
  } catch {
    return null;
  }
}

/** What a host changes; what is absent stays. */
export type SettingsChange = Partial<Omit<Settings, 'agreement'>> & { readonly agreement?: readonly string[] };

interface Named {
  readonly participants: readonly string[];
}
export type Command =
  | { readonly type: 'agree'; readonly version: number }
  | { readonly type: 'leave' | 'raise-hand' | 'lower-hand' | 'end' }
  | { readonly type: 'step-away'; readonly away: boolean }
  | { readonly type: 'react'; readonly reaction: string }
  | { readonly type: 'write'; readonly to: Addressee; readonly body: string }
  | { readonly type: 'remove-text'; readonly text: number }
  | ({ readonly type: 'mute' | 'ask-to-unmute'; readonly source: Source } & Named)
  | { readonly type: 'mute-all'; readonly source: Source; readonly except?: readonly string[] }
  | { readonly type: 'set-role'; readonly participant: string; readonly role: CircleRole }
  | ({ readonly type: 'spotlight' | 'order-seats' | 'admit' | 'decline' } & Named)
  | { readonly type: 'lower-hands'; readonly participants?: readonly string[] }
  | { readonly type: 'tell-waiting'; readonly participant: string; readonly line: string }
  | { readonly type: 'remove'; readonly participant: string; readonly ban?: boolean }
  | { readonly type: 'change-room'; readonly set: SettingsChange };
export type Request = { readonly id: number } & Command;
