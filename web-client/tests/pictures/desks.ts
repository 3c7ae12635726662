/** What a host finds in the dialogs, without a server: a fixed list, and one fresh link. */
import type { Invite, InviteDesk, RoomDesk } from '../../src/protocol/rooms';

const ENDS = Date.UTC(2026, 0, 22, 10, 0);

const given: readonly Invite[] = [
  { id: 1, role: 'host', state: 'open', uses: 3 },
  { id: 2, role: 'guest', state: 'open', uses: 12, expiresAt: ENDS },
  { id: 3, role: 'listener', state: 'not-yet', uses: 0, expiresAt: ENDS },
];

export const invites: InviteDesk = {
  list: () => Promise.resolve({ kind: 'ok', value: given }),
  make: (role) =>
    Promise.resolve({
      kind: 'ok',
      value: { id: 4, role, state: 'open', uses: 0, expiresAt: ENDS, link: 'https://circle.example.org/join#Xk3v9QmT2bYw7RfLs0HaDcUe' },
    }),
  revoke: () => Promise.resolve({ kind: 'ok', value: true }),
};

export const desk: RoomDesk = {
  passphrase: () => Promise.resolve({ kind: 'ok', value: false }),
  setPassphrase: () => Promise.resolve({ kind: 'ok', value: true }),
};
