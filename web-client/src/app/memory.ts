/** Where this tab's memory lies: sessionStorage, gone with the tab. Its form is `circle/session.ts`. */

import type { Session } from '../circle/session';
import { readSession } from '../circle/session';

const SESSION_KEY = 'enza.session';

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
