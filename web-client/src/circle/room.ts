/**
 * What the room screen knows: who sits here, how the line is, what our own devices do.
 * Pure: `reduceRoom(state, event)` and selectors. Must never know livekit-client, the DOM or a clock.
 */

import type { CircleRole } from '../protocol/circle';
import type { Devices } from './devices';
import { noDevices } from './devices';
import type { Looking, LookingEvent } from './looking';
import { firstLook, followed, reduceLooking } from './looking';
import type { Meeting, MeetingEvent } from './meeting';
import { TELL_FOR_MS, firstMeeting, reduceMeeting } from './meeting';
import type { Mark, Person, Present } from './person';
import { seated, unheard } from './person';
import { ringOf, ringWithout } from './ring';
import { myRole } from './table';
import type { Voices } from './voices';
import { heard, nextVoiceChange, settled, silence } from './voices';

export type DeviceKind = 'microphone' | 'camera';
/** Why a device cannot be used now; each has its own words. */
export type DeviceFault = 'none' | 'unplugged' | 'denied' | 'busy' | 'insecure' | 'failed' | 'background';
export type OwnDevice =
  | { readonly at: 'off' }
  | { readonly at: 'opening' }
  | { readonly at: 'on' }
  | { readonly at: 'fault'; readonly why: DeviceFault };

/** Open, or on its way there. */
export function isOpen(device: OwnDevice): boolean {
  return device.at === 'on' || device.at === 'opening';
}

export type Line =
  | { readonly at: 'connecting' }
  | { readonly at: 'live' }
  /** livekit-client is mending it. */
  | { readonly at: 'resuming'; readonly since: number }
  /** livekit-client gave up; the page joins anew. */
  | { readonly at: 'rejoining'; readonly since: number }
  /** No sound and no picture: chosen, or (`why`) they do not get through. The circle goes on by text. */
  | { readonly at: 'text'; readonly why: ByTextWhy };

/**
 * Why there is no sound and no picture. `no-key`: the room asks for encryption and our link has no key; `no-cipher`: this
 * browser cannot encrypt.
 */
export type ByTextWhy = 'chosen' | 'blocked' | 'unreachable' | Unsealed;
export type Unsealed = 'no-key' | 'no-cipher';

/** Why the encryption that the room asks for cannot be had here. */
export function unsealed(asked: boolean, key: string | null, ciphers: boolean): Unsealed | null {
  if (!asked) return null;
  if (key === null) return 'no-key';
  return ciphers ? null : 'no-cipher';
}

/** Why a call ended for good. Everything else is a lost line, and the page comes back by itself. */
export type Ending = 'removed' | 'ended' | 'twice' | 'full';

export interface RoomState {
  readonly room: string;
  readonly role: CircleRole;
  readonly name: string;
  readonly mark: Mark;
  /** Who sits on the ring, we first. */
  readonly people: readonly Person[];
  /** Who listens, without a seat. */
  readonly listeners: readonly Person[];
  /** Everybody whom the media side knows. */
  readonly present: readonly Present[];
  readonly meeting: Meeting;
  /** Whom a host shows large to everybody, in order. */
  readonly spotlight: readonly string[];
  readonly line: Line;
  /** Until when "connected again" is shown; null when it is not. */
  readonly backUntil: number | null;
  readonly voices: Voices;
  readonly microphone: OwnDevice;
  readonly camera: OwnDevice;
  /** The browser wants a press before it plays sound. */
  readonly soundBlocked: boolean;
  /** Sound and picture are encrypted from end to end. */
  readonly sealed: boolean;
  /** What is said about keys that differ was put away. */
  readonly keysTold: boolean;
  /** Something else took the sound away (a phone call): a press brings it back. */
  readonly interrupted: boolean;
  /** A host closed this device of ours; said for a while, or until it opens again. */
  readonly closedByHost: DeviceKind | null;
  /** Until when that is said, milliseconds. */
  readonly closedUntil: number | null;
  readonly devices: Devices;
  /** Our own screen, shown to the others. */
  readonly screen: OwnScreen;
  readonly looking: Looking;
  /** The newest moment a tick told us of, milliseconds. */
  readonly now: number;
}

export type OwnScreen = { readonly at: 'off' | 'opening' | 'on' | 'fault' };

export type RoomEvent =
  | LookingEvent
  | { readonly type: 'screen'; readonly screen: OwnScreen }
  | MeetingEvent
  | { readonly type: 'people'; readonly people: readonly Present[] }
  | { readonly type: 'text-only'; readonly why: ByTextWhy }
  /** Whether our sound and picture go out encrypted from end to end. */
  | { readonly type: 'sealed'; readonly on: boolean }
  /** What is said about keys that differ is put away. */
  | { readonly type: 'keys-told' }
  | { readonly type: 'connecting' }
  | { readonly type: 'voices'; readonly identities: readonly string[]; readonly at: number }
  | { readonly type: 'live'; readonly at: number }
  | { readonly type: 'resuming'; readonly at: number }
  | { readonly type: 'lost'; readonly at: number }
  | { readonly type: 'interrupted'; readonly on: boolean }
  | { readonly type: 'device'; readonly kind: DeviceKind; readonly device: OwnDevice }
  | { readonly type: 'closed-by-host'; readonly kind: DeviceKind; readonly at: number }
  | { readonly type: 'dismiss'; readonly kind: DeviceKind }
  | { readonly type: 'sound'; readonly blocked: boolean }
  | { readonly type: 'devices'; readonly devices: Devices }
  | { readonly type: 'tick'; readonly at: number };

/** Reconnecting is said from the second second on; shorter gaps are nobody's business. */
export const SAY_RECONNECTING_AFTER_MS = 2_000;
/** From here on the words change to "still no connection", with a button. */
export const SAY_STILL_LOST_AFTER_MS = 60_000;
export const SAY_BACK_FOR_MS = 3_000;

export function enterRoom(
  ticket: { readonly room: string; readonly role: string; readonly name: string; readonly mark: Mark },
  now: number,
): RoomState {
  const me: Present = {
    identity: '',
    name: ticket.name,
    me: true,
    host: ticket.role === 'host',
    mark: ticket.mark,
    joinedAt: now,
    ...unheard,
  };
  return {
    room: ticket.room,
    role: ticket.role === 'host' || ticket.role === 'co-host' || ticket.role === 'listener' ? ticket.role : 'speaker',
    name: ticket.name,
    mark: ticket.mark,
    people: ringWithout([me]),
    listeners: [],
    present: [me],
    meeting: firstMeeting,
    spotlight: [],
    line: { at: 'connecting' },
    backUntil: null,
    voices: silence,
    microphone: { at: 'off' },
    camera: { at: 'off' },
    soundBlocked: false,
    sealed: false,
    keysTold: false,
    interrupted: false,
    closedByHost: null,
    closedUntil: null,
    devices: noDevices,
    screen: { at: 'off' },
    looking: firstLook,
    now,
  };
}

export function reduceRoom(before: RoomState, event: RoomEvent): RoomState {
  const state = step(before, event);
  if (state === before) return before;
  const looking = followed(state.looking, before, state, state.voices);
  return looking === state.looking ? state : { ...state, looking };
}

function step(state: RoomState, event: RoomEvent): RoomState {
  switch (event.type) {
    case 'circle':
    case 'circle-line':
    case 'panel':
    case 'draft':
    case 'sending':
    case 'answered':
    case 'held-pressed':
    case 'stepped-away':
    case 'told':
    case 'faded': {
      const meeting = reduceMeeting(state.meeting, event);
      if (meeting === state.meeting) return state;
      // Asked to open it, nobody needs to hear that it was closed.
      const asked = meeting.asked !== null && meeting.asked === state.closedByHost;
      const next: RoomState = { ...state, meeting, ...(asked ? untold : {}) };
      return meeting.table === state.meeting.table ? next : reseated(next);
    }
    case 'people':
      return reseated({
        ...state,
        present: state.line.at === 'live' ? event.people : stayingSeated(state, event.people),
        // Somebody more is news.
        keysTold: state.keysTold && event.people.every((person) => !person.unopened || wasUnopened(state, person.identity)),
      });
    case 'connecting':
      return { ...state, line: { at: 'connecting' } };
    case 'text-only':
      return {
        ...state,
        line: { at: 'text', why: event.why },
        sealed: false,
        keysTold: false,
        microphone: { at: 'off' },
        camera: { at: 'off' },
        screen: { at: 'off' },
        voices: silence,
        backUntil: null,
      };
    case 'voices':
      return { ...state, voices: heard(state.voices, event.identities, event.at) };
    case 'live': {
      const said = lostSince(state.line);
      const wasSaid = said !== null && event.at - said >= SAY_RECONNECTING_AFTER_MS;
      return {
        ...state,
        line: { at: 'live' },
        backUntil: wasSaid ? event.at + SAY_BACK_FOR_MS : state.backUntil,
        now: event.at,
      };
    }
    case 'resuming':
      // Coming from a rejoin the line stays as bad as it was: the count from the first loss goes on.
      return state.line.at === 'live'
        ? { ...state, line: { at: 'resuming', since: event.at }, backUntil: null, now: event.at }
        : state;
    case 'lost':
      return reseated({
        ...state,
        line: { at: 'rejoining', since: lostSince(state.line) ?? event.at },
        present: stayingSeated(state, state.present.filter((person) => person.me)),
        voices: silence,
        // A screen is chosen anew each time: browsers give it to one call only.
        screen: { at: 'off' },
        interrupted: false,
        backUntil: null,
        now: event.at,
      });
    case 'interrupted':
      return state.interrupted === event.on ? state : { ...state, interrupted: event.on };
    case 'device': {
      const own = { ...state, [event.kind]: event.device };
      return isOpen(event.device) && state.closedByHost === event.kind ? { ...own, ...untold } : own;
    }
    case 'closed-by-host':
      return { ...state, [event.kind]: { at: 'off' }, closedByHost: event.kind, closedUntil: event.at + TELL_FOR_MS };
    case 'dismiss':
      return {
        ...state,
        [event.kind]: state[event.kind].at === 'fault' ? { at: 'off' } : state[event.kind],
        ...(state.closedByHost === event.kind ? untold : {}),
      };
    case 'sound':
      return state.soundBlocked === event.blocked ? state : { ...state, soundBlocked: event.blocked };
    case 'sealed':
      return { ...state, sealed: event.on, keysTold: false };
    case 'keys-told':
      return { ...state, keysTold: true };
    case 'devices':
      return { ...state, devices: event.devices };
    case 'screen':
      return { ...state, screen: event.screen };
    case 'view':
    case 'pin':
    case 'volume':
      return { ...state, looking: reduceLooking(state.looking, event) };
    case 'tick':
      return {
        ...state,
        now: event.at,
        ...(state.closedUntil !== null && event.at >= state.closedUntil ? untold : {}),
        voices: settled(state.voices, event.at),
        backUntil: state.backUntil !== null && event.at >= state.backUntil ? null : state.backUntil,
        meeting: reduceMeeting(
          state.meeting.toldUntil !== null && event.at >= state.meeting.toldUntil
            ? reduceMeeting(state.meeting, { type: 'told', told: null, at: event.at })
            : state.meeting,
          { type: 'faded', at: event.at },
        ),
      };
  }
}

/** What a host closed is said no more. */
const untold = { closedByHost: null, closedUntil: null } as const;

function wasUnopened(state: RoomState, identity: string): boolean {
  return state.present.some((person) => person.unopened && person.identity === identity);
}

/** Everybody on their seats, by what circle and media side say now. */
function reseated(state: RoomState): RoomState {
  const { table } = state.meeting;
  if (table === null) {
    const people = seated(state.people, ringWithout(state.present));
    return { ...state, people };
  }
  const { people, listeners } = ringOf(state, table, state.present, state);
  return { ...state, people, listeners, role: myRole(table), spotlight: table.spotlight };
}

/**
 * While our own line is lost nobody gets up: livekit-client forgets everybody and learns them anew, but on the
 * screen they keep their seats, without a picture, until the line is back and says who is really here.
 */
function stayingSeated(state: RoomState, present: readonly Present[]): readonly Present[] {
  const known = new Set(present.map((person) => person.identity));
  const missing = state.present.filter((person) => !person.me && !known.has(person.identity));
  const stills = missing.map((person) =>
    person.video === null && person.screen === null ? person : { ...person, video: null, screen: null },
  );
  return [...present, ...stills];
}

function lostSince(line: Line): number | null {
  return line.at === 'resuming' || line.at === 'rejoining' ? line.since : null;
}

/** `weak`: no picture fits our line, only voices. */
export type Banner = 'none' | 'reconnecting' | 'still-lost' | 'back' | 'weak';

export function banner(state: RoomState): Banner {
  const since = lostSince(state.line);
  if (since === null) {
    if (state.backUntil !== null) return 'back';
    const pictures = state.people.filter((person) => !person.me && person.video !== null);
    return pictures.length > 0 && pictures.every((person) => person.resting) ? 'weak' : 'none';
  }
  const lostFor = state.now - since;
  if (lostFor >= SAY_STILL_LOST_AFTER_MS) return 'still-lost';
  return lostFor >= SAY_RECONNECTING_AFTER_MS ? 'reconnecting' : 'none';
}

/** When a `tick` would next change what is shown; null when nothing is waiting for time. */
export function nextTick(state: RoomState): number | null {
  const due: number[] = [];
  const voice = nextVoiceChange(state.voices);
  if (voice !== null) due.push(voice);
  if (state.backUntil !== null) due.push(state.backUntil);
  if (state.closedUntil !== null) due.push(state.closedUntil);
  if (state.meeting.toldUntil !== null) due.push(state.meeting.toldUntil);
  due.push(...state.meeting.given.map((one) => one.until));
  const since = lostSince(state.line);
  if (since !== null) {
    for (const wait of [SAY_RECONNECTING_AFTER_MS, SAY_STILL_LOST_AFTER_MS]) {
      if (since + wait > state.now) due.push(since + wait);
    }
  }
  return due.length === 0 ? null : Math.min(...due);
}

/** Our own line is not usable: our seat and our tools say so. */
export function isOff(state: RoomState): boolean {
  return lostSince(state.line) !== null && banner(state) !== 'none';
}
