/** How long the chat is kept, and whether a change shortens that: what is older is then deleted at once. Pure. */

import type { Settings } from '../protocol/circle';

type Kept = Pick<Settings, 'history' | 'historyDays'>;

export function shortens(before: Kept, after: Kept): boolean {
  return length(after) < length(before);
}

function length({ history, historyDays }: Kept): number {
  switch (history) {
    case 'none':
      return -1;
    case 'meeting':
      return 0;
    case 'days':
      return historyDays;
  }
}
