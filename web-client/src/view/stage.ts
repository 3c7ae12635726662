/**
 * What a screen may do with live media: draw it and measure it; and with the room's invites. Implemented by the
 * composition root. Each call on media starts something and returns its end.
 */
import type { InviteDesk, RoomDesk } from '../protocol/rooms';

export interface Stage {
  /** Our own picture before entering. */
  readonly preview: (element: HTMLVideoElement) => () => void;
  /** Somebody's camera or screen in the room. */
  readonly picture: (identity: string, source: 'camera' | 'screen', element: HTMLVideoElement) => () => void;
  /** How loud our own microphone is, 0 to 1. */
  readonly level: (report: (level: number) => void) => () => void;
  /** Whether this browser can show a screen to the others. */
  readonly canShareScreen: boolean;
  /** Whether this browser is in the room of that invite already, in another window. */
  readonly sitsElsewhere: (invite: string) => Promise<boolean>;
  /** The invites of the room we are in; null outside one. */
  readonly invites: () => InviteDesk | null;
  /** The link we came with, with the key of the room's sound and picture in it; null without a key. */
  readonly ownLink: () => string | null;
  /** The room itself, for its hosts; null outside one. */
  readonly desk: () => RoomDesk | null;
}
