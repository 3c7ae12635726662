/**
 * What the operator's page knows: the key, the last answer, and a short past of it. Pure; must never know how it is asked.
 */

import type { Answer } from '../protocol/http';
import type { Finding, ServerState } from '../protocol/state';

/** How far back the drawn past reaches, in milliseconds. It lies in the page alone. */
export const PAST_MS = 10 * 60_000;
/** More are not kept, however often is asked. */
const POINTS_MAX = 400;

/** Why the key opens nothing: it was left out, it is another one, too many wrong ones came from here, nobody answered. */
export type KeyProblem = 'missing' | 'wrong' | 'wait' | 'unreachable';

export interface Point {
  readonly at: number;
  readonly people: number;
  /** Processors that were busy. */
  readonly processors: number;
}

export type Look =
  | { readonly at: 'closed'; readonly problem: KeyProblem | null; readonly asking: boolean }
  | {
      readonly at: 'open';
      readonly state: ServerState;
      /** When the page got that, by its own clock. */
      readonly readAt: number;
      /** The question after it had no answer. */
      readonly lost: boolean;
      readonly past: readonly Point[];
    };

export const closed: Look = { at: 'closed', problem: null, asking: false };

/** What an answer makes of a look; `now` by the page's own clock. */
export function afterAnswer(before: Look, answer: Answer<ServerState>, now: number): Look {
  if (answer.kind === 'ok') {
    const { people, pace } = answer.value;
    const kept = before.at === 'open' ? before.past : [];
    const past = [...kept, { at: now, people, processors: pace.processors }].filter(({ at }) => now - at <= PAST_MS);
    return { at: 'open', state: answer.value, readAt: now, lost: false, past: past.slice(-POINTS_MAX) };
  }
  if (answer.kind === 'unreachable') {
    // What was seen last stays, and the page says that it is old.
    return before.at === 'open' ? { ...before, lost: true } : { at: 'closed', problem: 'unreachable', asking: false };
  }
  return { at: 'closed', problem: answer.code === 'too-many-attempts' ? 'wait' : 'wrong', asking: false };
}

/** What is said aloud when other things are not well than before: only that which is new. */
export function newFindings(before: readonly Finding[], now: readonly Finding[]): readonly Finding[] {
  return now.filter((one) => !before.some((known) => known.check === one.check && known.verdict === one.verdict));
}

/** One line through points in a box; the highest point touches the top. Times run from `PAST_MS` ago to `now`. */
export function lineThrough(past: readonly Point[], of: (point: Point) => number, now: number, width: number, height: number): string {
  const top = Math.max(1, ...past.map(of));
  return past
    .map((point) => {
      const x = width - ((now - point.at) / PAST_MS) * width;
      return `${x.toFixed(1)},${(height - (of(point) / top) * height).toFixed(1)}`;
    })
    .join(' ');
}
