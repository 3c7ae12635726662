/**
 * Where memory lies. This tab's: sessionStorage, gone with the tab; its form is `circle/session.ts`. This browser's, in
 * localStorage: one random sign that says nothing about anybody, and, only if asked, `circle/guest.ts`.
 */

import type { Guest } from '../circle/guest';
import { readGuest } from '../circle/guest';
import type { Session } from '../circle/session';
import { readSession } from '../circle/session';

const MARK_KEY = 'enza.mark';
const MARK_BYTES = 16;
const SESSION_KEY = 'enza.session';
const GUEST_KEY = 'enza.guest';

export function keepSession(session: Session | null): void {
  try {
    if (session === null) sessionStorage.removeItem(SESSION_KEY);
    else sessionStorage.setItem(SESSION_KEY, JSON.stringify(session));
  } catch {
    // Without storage a reload shows the steps again; nothing else is lost.
  }
}

export function keptSession(): Session | null {
  try {
    return readSession(sessionStorage.getItem(SESSION_KEY));
  } catch {
    return null;
  }
}

/** Null forgets. */
export function keepGuest(guest: Guest | null): void {
  try {
    if (guest === null) localStorage.removeItem(GUEST_KEY);
    else localStorage.setItem(GUEST_KEY, JSON.stringify(guest));
  } catch {
    // Without storage the name is asked for again.
  }
}

export function keptGuest(): Guest | null {
  try {
    return readGuest(localStorage.getItem(GUEST_KEY));
  } catch {
    return null;
  }
}

/** Random, made once; undefined where nothing is kept. */
export function browserMark(): string | undefined {
  try {
    const kept = localStorage.getItem(MARK_KEY);
    if (kept !== null) return kept;
    const bytes = crypto.getRandomValues(new Uint8Array(MARK_BYTES));
    const mark = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    localStorage.setItem(MARK_KEY, mark);
    return mark;
  } catch {
    return undefined;
  }
}
