/**
 * The HTTP messages between this page and its own server: what an invite opens, and how it becomes a room token.
 * Owns their shapes and their checking. Must never know a screen, a language or livekit-client.
 */

import type { Agreement } from './circle';
import type { Reader } from './read';
import { flag, list, number, record, text } from './read';

const roles = ['host', 'co-host', 'guest', 'listener'] as const;
export type Role = (typeof roles)[number];

/** Answer to `POST /api/invite`. */
export interface Invitation {
  readonly room: string;
  readonly role: Role;
  /** What is promised before entry; null when nothing is. */
  readonly agreement: Agreement | null;
  /** A host lets people in one by one. */
  readonly lobby: boolean;
  /** The room asks for a word besides the link. */
  readonly passphrase: boolean;
  /** How many days the chat is kept after the meeting; null where it is not. */
  readonly historyDays: number | null;
  /** Sound and picture are encrypted from end to end; null from a server that does not say it. */
  readonly encryption: boolean | null;
  /** The invite lets only so many people in, and each `join` counts. */
  readonly counted: boolean;
}

/** Besides invite and name. */
export interface JoinMore {
  readonly passphrase?: string | undefined;
  /** A room token from before: the same seat again. */
  readonly again?: string | undefined;
  /** A random sign of this browser, so that somebody who is banned for good does not come back by another link. */
  readonly mark?: string | undefined;
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
  'invite-used-up',
  'room-gone',
  'passphrase-needed',
  'passphrase-wrong',
  'banned',
  'rooms-closed',
  'not-allowed',
  'too-many-attempts',
  'key-needed',
  'key-wrong',
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

export function join(
  invite: string,
  name: string,
  more: JoinMore = {},
  send: typeof fetch = fetch,
): Promise<Answer<Admission>> {
  return post('/api/join', { invite, name, ...more }, readAdmission, send);
}

function post<T>(
  path: string,
  body: Readonly<Record<string, unknown>>,
  read: (value: unknown) => T | null,
  send: typeof fetch,
): Promise<Answer<T>> {
  return ask({ method: 'POST', path, body }, read, send);
}

export interface Question {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly body?: Readonly<Record<string, unknown>>;
  /** A host's room token. */
  readonly token?: string;
}

/** Asks our server; `read` gives null for what is not its answer. */
export async function ask<T>(
  { method, path, body, token }: Question,
  read: (value: unknown) => T | null,
  send: typeof fetch = fetch,
): Promise<Answer<T>> {
  const patience = new AbortController();
  const timer = setTimeout(() => {
    patience.abort();
  }, ANSWER_WITHIN_MS);
  try {
    const response = await send(path, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
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
  if (room === null || role === null) return null;
  const promised = optional(record({ version: number, lines: list(text) }), value['agreement']);
  return {
    room,
    role,
    agreement: promised === null || promised.lines.length === 0 ? null : promised,
    lobby: optional(flag, value['lobby']) ?? false,
    passphrase: optional(flag, value['passphrase']) ?? false,
    historyDays: optional(number, value['historyDays']),
    encryption: optional(flag, value['encryption']),
    counted: optional(flag, value['counted']) ?? true,
  };
}

function optional<T>(reader: Reader<T>, value: unknown): T | null {
  try {
    return reader(value);
  } catch {
    return null;
  }
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
