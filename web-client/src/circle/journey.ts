/**
 * The way from a link to the room and out again: which screen, and what it needs.
 * Pure data and the intents the screens send. Must never know how an intent is carried out.
 */

import type { Addressee, Agreement, Command } from '../protocol/circle';
import type { RefusalCode, Role } from '../protocol/http';
import type { MadeRoom } from '../protocol/rooms';
import type { Preview } from './devices';
import type { LookingEvent } from './looking';
import type { Panel } from './meeting';
import type { NameProblem } from './name';
import type { Mark } from './person';
import type { DeviceKind, Ending, RoomState } from './room';
import type { Settings } from './settings';

/** Everything known about us and the room we were invited to. */
export interface Ticket {
  readonly invite: string;
  readonly room: string;
  readonly role: Role;
  readonly name: string;
  readonly mark: Mark;
  /** What this room asks people to promise; null when nothing. */
  readonly agreement: Agreement | null;
  /** The version of it that we promised. */
  readonly agreed: number | null;
  readonly lobby: boolean;
  /** How many days the chat is kept after the meeting; null where it is not, or that is not known. */
  readonly historyDays: number | null;
  /** The room asks for encryption; null where that is not known before the circle says it. */
  readonly encryption: boolean | null;
  /** The invite lets only so many people in. */
  readonly counted: boolean;
  /** The room's word, as it was typed; null where none is asked for. */
  readonly passphrase: string | null;
  /** This browser was asked to remember name, mark and agreement. */
  readonly remembered: boolean;
  /** Of the room's sound and picture, from the link; never told to the server. */
  readonly key: string | null;
}

/** With sound and picture, hearing and seeing only, or by text alone. */
export type Way = 'full' | 'listen' | 'text';

/** We stand before the door. */
export interface Waiting {
  /** The room's question of the day; empty without one. */
  readonly question: string;
  readonly inside: number;
  /** A host's line to us; null before one came. */
  readonly line: string | null;
}

export type FaultKind =
  | 'no-invite'
  | 'invite-unknown'
  | 'invite-revoked'
  | 'invite-expired'
  | 'invite-early'
  | 'invite-used-up'
  | 'declined'
  | 'banned'
  | 'locked'
  | 'full'
  | 'room-gone'
  | 'unreachable'
  | 'blocked'
  | 'broken'
  | 'old'
  | Ending;

export interface Fault {
  readonly kind: FaultKind;
  /** For the small print, never a secret; null when there is nothing to add. */
  readonly detail: string | null;
}

/** The one button under a fault. */
export type Remedy = 'home' | 'retry' | 'move-here' | 'none';

export function remedyFor(kind: FaultKind): Remedy {
  switch (kind) {
    case 'unreachable':
    case 'blocked':
    case 'broken':
    case 'invite-early':
    case 'locked':
    case 'full':
      return 'retry';
    case 'twice':
      return 'move-here';
    case 'old':
      return 'none';
    case 'no-invite':
    case 'invite-unknown':
    case 'invite-revoked':
    case 'invite-expired':
    case 'invite-used-up':
    case 'room-gone':
    case 'declined':
    case 'banned':
    case 'removed':
    case 'ended':
      return 'home';
  }
}

/** What a refusal from the server means for the screen; null for one that belongs beside the name field. */
export function faultForRefusal(code: RefusalCode, message: string): Fault | null {
  switch (code) {
    case 'invite-unknown':
    case 'invite-revoked':
    case 'invite-expired':
    case 'invite-early':
    case 'invite-used-up':
    case 'banned':
    case 'room-gone':
      return { kind: code, detail: null };
    case 'bad-request':
    case 'rooms-closed':
    case 'not-allowed':
    case 'too-many-attempts':
    case 'key-needed':
    case 'key-wrong':
      return { kind: 'broken', detail: message };
    case 'name-missing':
    case 'name-too-long':
    case 'passphrase-needed':
    case 'passphrase-wrong':
      return null;
  }
}

/** Why the circle does not let us in, or not any more. */
export function faultForDoor(code: string, message: string): Fault {
  switch (code) {
    case 'declined':
    case 'banned':
    case 'locked':
    case 'full':
    case 'ended':
      return { kind: code, detail: null };
    default:
      return { kind: 'broken', detail: message };
  }
}

export type Journey =
  /** `makes`: anybody may make a room here. */
  | { readonly at: 'landing'; readonly notALink: boolean; readonly makes: boolean }
  | { readonly at: 'create'; readonly problem: 'missing' | 'closed' | 'failed' | null }
  | { readonly at: 'made'; readonly room: MadeRoom }
  | { readonly at: 'opening' }
  | { readonly at: 'agreement'; readonly ticket: Ticket; readonly agreement: Agreement }
  | { readonly at: 'name'; readonly ticket: Ticket; readonly problem: NameProblem | null }
  | { readonly at: 'devices'; readonly ticket: Ticket; readonly preview: Preview }
  | { readonly at: 'waiting'; readonly ticket: Ticket; readonly waiting: Waiting }
  | { readonly at: 'room'; readonly ticket: Ticket; readonly room: RoomState }
  | { readonly at: 'left'; readonly ticket: Ticket }
  | { readonly at: 'fault'; readonly fault: Fault };

export type ChosenDevice = DeviceKind | 'speaker';

export type Intent =
  | { readonly type: 'paste'; readonly text: string }
  | { readonly type: 'create' }
  | { readonly type: 'make-room'; readonly title: string }
  | { readonly type: 'agree' }
  | {
      readonly type: 'name';
      readonly typed: string;
      readonly mark: Mark;
      readonly passphrase: string | null;
      readonly remember: boolean;
    }
  /** What this browser remembers of us goes at once. */
  | { readonly type: 'forget' }
  | { readonly type: 'back' }
  | { readonly type: 'enter'; readonly way: Way }
  /** From the waiting page to camera and microphone. */
  | { readonly type: 'fix-devices' }
  /** From text to sound and picture. */
  | { readonly type: 'add-media' }
  /** Anything the circle is asked. */
  | { readonly type: 'command'; readonly command: Command }
  | { readonly type: 'step-away'; readonly away: boolean }
  | { readonly type: 'panel'; readonly panel: Panel; readonly to?: Addressee }
  | { readonly type: 'draft'; readonly body: string }
  | { readonly type: 'write'; readonly to: Addressee }
  /** The answer to a host who asks us to open something. */
  | { readonly type: 'answer'; readonly open: boolean }
  | { readonly type: 'put-away'; readonly what: 'told' | 'held' | 'keys' }
  | { readonly type: 'toggle'; readonly kind: DeviceKind }
  /** Tries both devices of the preview again. */
  | { readonly type: 'reopen' }
  | { readonly type: 'choose'; readonly device: ChosenDevice; readonly id: string }
  /** Puts away what is said about a device. */
  | { readonly type: 'dismiss'; readonly kind: DeviceKind }
  | { readonly type: 'list-devices' }
  | { readonly type: 'test-sound' }
  | { readonly type: 'start-sound' }
  /** Back to the circle after an interruption. */
  | { readonly type: 'return' }
  | LookingEvent
  | { readonly type: 'hold-microphone'; readonly on: boolean }
  | { readonly type: 'share-screen'; readonly on: boolean }
  | { readonly type: 'set'; readonly change: Partial<Settings> }
  | { readonly type: 'reconnect-now' }
  | { readonly type: 'leave' }
  | { readonly type: 'again' }
  | { readonly type: 'retry' }
  | { readonly type: 'home' };

export type Send = (intent: Intent) => void;
