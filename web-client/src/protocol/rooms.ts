/** Rooms that are made from the page, and the invites a host gives out. The answers of `/api/rooms` and `/api/server`. */

import type { Answer } from './http';
import { ask } from './http';
import type { Reader } from './read';
import { flag, list, number, oneOf, record, recordWith, text } from './read';

const server = record({ rooms: oneOf('open', 'closed') });
const made = record({ room: record({ id: text, name: text }), hostLink: text, guestLink: text });
const invite = recordWith(
  { id: number, role: oneOf('host', 'co-host', 'guest', 'listener'), state: text, uses: number },
  { expiresAt: number, maxUses: number, link: text },
);
const room = record({ passphrase: flag });
const invites = record({ invites: list(invite) });

export type Invite = ReturnType<typeof invite>;
export type InviteRole = Invite['role'];

export interface MadeRoom {
  readonly name: string;
  /** Whole addresses. */
  readonly hostLink: string;
  readonly guestLink: string;
}

const orNothing =
  <T>(reader: Reader<T>) =>
  (value: unknown): T | null => {
    try {
      return reader(value);
    } catch {
      return null;
    }
  };

/** Whether anybody may make a room here. A server that does not say, does not. */
export async function roomsAreOpen(send: typeof fetch = fetch): Promise<boolean> {
  const answer = await ask({ method: 'GET', path: '/api/server' }, orNothing(server), send);
  return answer.kind === 'ok' && answer.value.rooms === 'open';
}

export async function makeRoom(title: string, here: string, send: typeof fetch = fetch): Promise<Answer<MadeRoom>> {
  const answer = await ask({ method: 'POST', path: '/api/rooms', body: { title } }, orNothing(made), send);
  if (answer.kind !== 'ok') return answer;
  const { room, hostLink, guestLink } = answer.value;
  const whole = (link: string): string => new URL(link, here).href;
  return { kind: 'ok', value: { name: room.name, hostLink: whole(hostLink), guestLink: whole(guestLink) } };
}

/** What a host may do with the invites of the room. */
export interface InviteDesk {
  list(): Promise<Answer<readonly Invite[]>>;
  /** A new invite; `link` is its whole address and is told this once. */
  make(role: InviteRole, forSeconds: number): Promise<Answer<Invite>>;
  revoke(id: number): Promise<Answer<true>>;
}

/** `whole` makes a link's path the address that is given away. */
export function inviteDesk(room: string, token: () => string, whole: (link: string) => string, send: typeof fetch = fetch): InviteDesk {
  const path = `/api/rooms/${encodeURIComponent(room)}/invites`;
  return {
    list: () => ask({ method: 'GET', path, token: token() }, (value) => orNothing(invites)(value)?.invites ?? null, send),
    make: (role, forSeconds) =>
      ask(
        { method: 'POST', path, token: token(), body: { role, expiresIn: forSeconds } },
        (value) => {
          const fresh = orNothing(invite)(value);
          return fresh?.link === undefined ? null : { ...fresh, link: whole(fresh.link) };
        },
        send,
      ),
    // The answer is empty: whatever came with a good status is a yes.
    revoke: (id) => ask({ method: 'DELETE', path: `${path}/${id}`, token: token() }, () => true as const, send),
  };
}

/** What a host may do with the room itself, beyond what the circle is asked. */
export interface RoomDesk {
  /** Whether somebody new is asked for a word. */
  passphrase(): Promise<Answer<boolean>>;
  /** From now on; null asks nobody. */
  setPassphrase(word: string | null): Promise<Answer<true>>;
}

export function roomDesk(name: string, token: () => string, send: typeof fetch = fetch): RoomDesk {
  const path = `/api/rooms/${encodeURIComponent(name)}`;
  return {
    passphrase: () => ask({ method: 'GET', path, token: token() }, (value) => orNothing(room)(value)?.passphrase ?? null, send),
    setPassphrase: (passphrase) =>
      ask({ method: 'PUT', path: `${path}/passphrase`, token: token(), body: { passphrase } }, () => true as const, send),
  };
}
