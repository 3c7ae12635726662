/** The dialogs over the room that hosts open. */
import type { Person } from '../circle/person';

export type RoomDialogKind =
  | { readonly kind: 'none' | 'room' | 'invites' | 'end' | 'leave' | 'settings' | 'keys' }
  | { readonly kind: 'remove'; readonly person: Person };

export const noDialog: RoomDialogKind = { kind: 'none' };
