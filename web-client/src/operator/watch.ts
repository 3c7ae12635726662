/**
 * Asks the server how it is, again and again while somebody looks. Owns the key: it is in memory, and in sessionStorage
 * where the operator asked for that; never in localStorage.
 */

import type { Readable } from 'svelte/store';
import { writable } from 'svelte/store';
import type { ServerState } from '../protocol/state';
import { askState } from '../protocol/state';
import type { Answer } from '../protocol/http';
import type { Look } from './look';
import { afterAnswer, closed } from './look';

/** Higher: figures are older; lower: the server works for the page. Its own figures change every 5 s. */
const EVERY_MS = 5_000;
const KEPT_AS = 'enza.operator';

export interface Watch {
  readonly shown: Readable<Look>;
  /** Begins with this key; `remember`: a reload of this tab needs it no more. */
  enter(key: string, remember: boolean): void;
  /** Forgets the key. */
  leave(): void;
  askNow(): void;
  /** Stops asking. */
  end(): void;
}

/** What is around it; tests have their own. */
export interface Around {
  readonly ask: (key: string) => Promise<Answer<ServerState>>;
  readonly storage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> | null;
  readonly page: Pick<Document, 'hidden' | 'addEventListener' | 'removeEventListener'>;
}

export const inBrowser = (): Around => ({ ask: askState, storage: ownStorage(), page: document });

function ownStorage(): Storage | null {
  try {
    return sessionStorage;
  } catch {
    // A browser that keeps nothing: the key is typed again after a reload.
    return null;
  }
}

export function watch({ ask, storage, page }: Around): Watch {
  let look: Look = closed;
  const shown = writable<Look>(look);
  let key: string | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  /** An answer to a question before this one is thrown away. */
  let asked = 0;

  const show = (next: Look): void => {
    look = next;
    shown.set(next);
  };
  const forget = (): void => {
    key = null;
    clearTimeout(timer);
    asked += 1;
    try {
      storage?.removeItem(KEPT_AS);
    } catch {
      // Nothing was kept either.
    }
  };
  const question = async (): Promise<void> => {
    clearTimeout(timer);
    if (key === null) return;
    asked += 1;
    const mine = asked;
    const answer = await ask(key);
    if (mine !== asked) return;
    show(afterAnswer(look, answer, Date.now()));
    if (answer.kind === 'refused') forget();
    else if (look.at === 'closed') key = null;
    else if (!page.hidden) {
      timer = setTimeout(() => void question(), EVERY_MS);
    }
  };
  const turned = (): void => {
    if (page.hidden) clearTimeout(timer);
    else void question();
  };
  page.addEventListener('visibilitychange', turned);

  const begin = (next: string): void => {
    key = next;
    show({ at: 'closed', problem: null, asking: true });
    void question();
  };
  const kept = ((): string | null => {
    try {
      return storage?.getItem(KEPT_AS) ?? null;
    } catch {
      return null;
    }
  })();
  if (kept !== null) begin(kept);

  return {
    shown,
    enter: (typed, remember) => {
      const next = typed.trim();
      if (next === '') {
        show({ at: 'closed', problem: 'missing', asking: false });
        return;
      }
      try {
        if (remember) storage?.setItem(KEPT_AS, next);
      } catch {
        // It is typed again after a reload.
      }
      begin(next);
    },
    leave: () => {
      forget();
      show(closed);
    },
    askNow: () => void question(),
    end: () => {
      clearTimeout(timer);
      asked += 1;
      page.removeEventListener('visibilitychange', turned);
    },
  };
}
