/**
 * The HTTP messages between this page and its own server: what an invite opens, and how it becomes a room token.
 * Owns their shapes and their checking. Must never know a screen, a language or livekit-client.
 */

const roles = ['host', 'co-host', 'guest', 'listener'] as const;
export type Role = (typeof roles)[number];

/** Answer to `POST /api/invite`. */
export interface Invitation {
  readonly room: string;
  readonly role: Role;
}

/** Answer to `POST /api/join`: a LiveKit room token and who it makes us. */
export interface Admission {
  readonly token: string;
  readonly identity: string;
  readonly name: string;
  readonly role: Role;
  readonly room: string;
}

/** The stable codes of a 4xx answer; the page has its own words for each. */
export const refusalCodes = [
  'invite-unknown',
  'invite-revoked',
  'invite-expired',
  'invite-early',
  'name-missing',
  'name-too-long',
  'bad-request',
  'room-gone',
  'too-many-attempts',
] as const;
export type RefusalCode = (typeof refusalCodes)[number];

export type Answer<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'refused'; readonly code: RefusalCode; readonly message: string }
  /** No answer, an answer that is not ours (a proxy's page), or a server fault. `detail` is for the small print. */
  | { readonly kind: 'unreachable'; readonly detail: string };

/** Longest wait for one answer. Higher keeps people before a silent page; lower fails on slow mobile lines. */
const ANSWER_WITHIN_MS = 10_000;

export function openInvite(invite: string, send: typeof fetch = fetch): Promise<Answer<Invitation>> {
  return post('/api/invite', { invite }, readInvitation, send);
}

/** `mark` rides along so that a server that knows marks can tell the others; one that does not, ignores it. */
export function join(
  invite: string,
  name: string,
  mark: string,
  send: typeof fetch = fetch,
): Promise<Answer<Admission>> {
  return post('/api/join', { invite, name, mark }, readAdmission, send);
}

async function post<T>(
  path: string,
  body: Readonly<Record<string, string>>,
  read: (value: unknown) => T | null,
  send: typeof fetch,
): Promise<Answer<T>> {
  const patience = new AbortController();
  const timer = setTimeout(() => {
    patience.abort();
  }, ANSWER_WITHIN_MS);
  try {
    const response = await send(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      cache: 'no-store',
      signal: patience.signal,
    });
    const value: unknown = await response.json().catch(() => null);
    if (response.ok) {
      const answer = read(value);
      return answer === null
        ? { kind: 'unreachable', detail: `${path}: ${response.status}, not an Enza answer` }
        : { kind: 'ok', value: answer };
    }
    const refusal = response.status < 500 ? readRefusal(value) : null;
    return refusal ?? { kind: 'unreachable', detail: `${path}: ${response.status}` };
  } catch (error) {
    return { kind: 'unreachable', detail: `${path}: ${error instanceof Error ? error.name : 'failed'}` };
  } finally {
    clearTimeout(timer);
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function readRole(value: unknown): Role | null {
  return roles.find((known) => known === value) ?? null;
}

function readRoomName(value: unknown): string | null {
  return isRecord(value) && typeof value['name'] === 'string' ? value['name'] : null;
}

export function readInvitation(value: unknown): Invitation | null {
  if (!isRecord(value)) return null;
  const room = readRoomName(value['room']);
  const role = readRole(value['role']);
  return room === null || role === null ? null : { room, role };
}

export function readAdmission(value: unknown): Admission | null {
  if (!isRecord(value)) return null;
  const { token, identity, name } = value;
  const room = readRoomName(value['room']);
  const role = readRole(value['role']);
  if (typeof token !== 'string' || typeof identity !== 'string' || typeof name !== 'string') return null;
  return room === null || role === null ? null : { token, identity, name, role, room };
}

function readRefusal(value: unknown): { kind: 'refused'; code: RefusalCode; message: string } | null {
  if (!isRecord(value)) return null;
  const code = refusalCodes.find((known) => known === value['code']);
  if (code === undefined) return null;
  return { kind: 'refused', code, message: typeof value['message'] === 'string' ? value['message'] : '' };
}
