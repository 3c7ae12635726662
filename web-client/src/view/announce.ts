/** What is said aloud to hosts about the door and the hands: several within a short time as one sentence. */
import type { RoomState } from '../circle/room';
import { moderates } from '../circle/table';
import type { Words } from '../strings';

/** People arrive in bunches; one sentence for all of them. */
export const BUNDLE_MS = 3_000;

/** How many are named; more would talk over the circle. */
export const NAMED_AT_ONCE = 4;

/** One sentence, however many there are. */
export function sayFew(sentences: readonly string[], t: Words): string {
  const more = sentences.length > NAMED_AT_ONCE ? [t('react.others')] : [];
  return [...sentences.slice(0, NAMED_AT_ONCE), ...more].join(t('list.comma'));
}

export interface Arrivals {
  readonly waiting: number;
  readonly hands: number;
}

export function arrivalsIn({ meeting: { table }, role }: RoomState): Arrivals {
  if (table === null || !moderates(role)) return { waiting: 0, hands: 0 };
  return { waiting: table.lobby?.length ?? 0, hands: table.hands.length };
}

/** Empty when nobody new waits and no hand went up. */
export function sayArrivals(before: Arrivals, now: Arrivals, t: Words): string {
  return [
    ...(now.waiting > before.waiting ? [t('people.wait', { n: now.waiting })] : []),
    ...(now.hands > before.hands ? [t('hands.up', { n: now.hands })] : []),
  ].join(t('list.comma'));
}
