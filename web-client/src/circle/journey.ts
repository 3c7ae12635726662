/**
 * The way from a link to the room and out again: which screen, and what it needs.
 * Pure data and the intents the screens send. Must never know how an intent is carried out.
 */

import type { RefusalCode, Role } from '../protocol/http';
import type { Preview } from './devices';
import type { LookingEvent } from './looking';
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
}

export type FaultKind =
  | 'no-invite'
  | 'invite-unknown'
  | 'invite-revoked'
  | 'invite-expired'
  | 'invite-early'
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
      return 'retry';
    case 'twice':
      return 'move-here';
    case 'old':
      return 'none';
    case 'no-invite':
    case 'invite-unknown':
    case 'invite-revoked':
    case 'invite-expired':
    case 'room-gone':
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
    case 'room-gone':
      return { kind: code, detail: null };
    case 'bad-request':
    case 'too-many-attempts':
      return { kind: 'broken', detail: message };
    case 'name-missing':
    case 'name-too-long':
      return null;
  }
}

export type Journey =
  | { readonly at: 'landing'; readonly notALink: boolean }
  | { readonly at: 'opening' }
  | { readonly at: 'name'; readonly ticket: Ticket; readonly problem: NameProblem | null }
  | { readonly at: 'devices'; readonly ticket: Ticket; readonly preview: Preview }
  | { readonly at: 'room'; readonly ticket: Ticket; readonly room: RoomState }
  | { readonly at: 'left'; readonly ticket: Ticket }
  | { readonly at: 'fault'; readonly fault: Fault };

export type ChosenDevice = DeviceKind | 'speaker';

export type Intent =
  | { readonly type: 'paste'; readonly text: string }
  | { readonly type: 'name'; readonly typed: string; readonly mark: Mark }
  | { readonly type: 'back' }
  | { readonly type: 'enter'; readonly listenOnly: boolean }
  | { readonly type: 'toggle'; readonly kind: DeviceKind }
  /** Tries both devices of the preview again. */
  | { readonly type: 'reopen' }
  | { readonly type: 'choose'; readonly device: ChosenDevice; readonly id: string }
  /** Puts away what is said about a device. */
  | { readonly type: 'dismiss'; readonly kind: DeviceKind }
  | { readonly type: 'list-devices' }
  | { readonly type: 'test-sound' }
  | { readonly type: 'start-sound' }
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
