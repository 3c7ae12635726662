/**
 * What this browser remembers of somebody who asked for it: name, mark and which agreements they accepted. Owns the
 * form of that memory. No invite and no room is in it, so that nobody reads from a shared device where they were.
 */

import type { Agreement } from '../protocol/circle';
import type { Mark } from './person';
import { readMark } from './person';

export interface Guest {
  readonly name: string;
  readonly mark: Mark;
  /** Signs of agreements, newest last. */
  readonly agreements: readonly string[];
}

/** Agreements kept. Higher: more rooms without being asked again; lower: less to read from a shared device. */
const AGREEMENTS_MAX = 12;

/** Stands for one agreement in one version, and tells nothing about it. */
export function agreementSign(room: string, { version, lines }: Agreement): string {
  // Two runs of FNV-1a: no secret is protected here, only mixing two agreements up must not happen by chance.
  const text = JSON.stringify([room, version, lines]);
  return [0x811c9dc5, 0x01000193]
    .map((start) => {
      let sum = start;
      for (let at = 0; at < text.length; at += 1) sum = Math.imul(sum ^ text.charCodeAt(at), 0x01000193) >>> 0;
      return sum.toString(16).padStart(8, '0');
    })
    .join('');
}

export function accepted(guest: Guest, room: string, agreement: Agreement): boolean {
  return guest.agreements.includes(agreementSign(room, agreement));
}

/** What to remember after somebody gave their name, and perhaps accepted an agreement. */
export function guestOf(
  before: Guest | null,
  ticket: { readonly room: string; readonly name: string; readonly mark: Mark; readonly agreement: Agreement | null; readonly agreed: number | null },
): Guest {
  const { room, name, mark, agreement, agreed } = ticket;
  const others = before?.agreements ?? [];
  if (agreement === null || agreement.version !== agreed) return { name, mark, agreements: others };
  const sign = agreementSign(room, agreement);
  return { name, mark, agreements: [...others.filter((one) => one !== sign), sign].slice(-AGREEMENTS_MAX) };
}

export function readGuest(text: string | null): Guest | null {
  let value: unknown = null;
  try {
    value = JSON.parse(text ?? 'null');
  } catch {
    // Not ours, or cut short.
  }
  if (typeof value !== 'object' || value === null) return null;
  const { name, mark: kept, agreements } = value as Readonly<Record<string, unknown>>;
  const mark = readMark(kept);
  if (typeof name !== 'string' || mark === null || !Array.isArray(agreements)) return null;
  return { name, mark, agreements: agreements.filter((one) => typeof one === 'string').slice(-AGREEMENTS_MAX) };
}
