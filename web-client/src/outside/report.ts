/**
 * What was seen as a text to give away, and as the report that an operator waits for. Must never hold an address unless the
 * person chose so.
 */

import type { Finding, Rating, Said, Situation } from './findings';

/** A sentence of the catalogue. */
export type Speak = (said: Said) => string;

export interface Report {
  readonly verdict: Situation;
  readonly summary: string;
  readonly lines: readonly { readonly check: string; readonly verdict: Rating; readonly what: string; readonly do: string | null }[];
}

export function reportOf(verdict: Situation, summary: Said, findings: readonly Finding[], speak: Speak): Report {
  return {
    verdict,
    summary: speak(summary),
    lines: findings.map(({ check, rating, what, todo }) => ({
      check,
      verdict: rating,
      what: speak(what),
      do: todo === null ? null : speak(todo),
    })),
  };
}

/** `about` and `more` are lines before and after it. */
export function textOf(report: Report, rating: (rating: Rating) => string, about: string, more: readonly string[]): string {
  const lines = report.lines.flatMap(({ verdict, what, do: todo }) => [`[${rating(verdict)}] ${what}`, ...(todo === null ? [] : [`    → ${todo}`])]);
  return [about, `${report.summary} (${report.verdict})`, ...lines, ...more].join('\n');
}

/** What stands after `#` in the operator's link. */
export function wordIn(fragment: string): string | null {
  const word = fragment.replace(/^#/, '');
  return /^[\w-]{22}$/.test(word) ? word : null;
}

/** Tells it under the word; false when nobody waits for it any more. */
export async function tell(word: string, report: Report): Promise<boolean> {
  try {
    const answer = await fetch('/doctor/reports', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ word, report }),
    });
    return answer.ok;
  } catch {
    return false;
  }
}
