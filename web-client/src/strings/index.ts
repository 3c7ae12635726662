/**
 * The words on the page, in the reader's language. Owns which language that is; must never know a screen.
 */
import { derived, writable } from 'svelte/store';
import type { Catalogue, Key, Slots } from './catalogue';
import { fill } from './catalogue';
import { en } from './en';
import { ja } from './ja';

export type { PlainKey } from './catalogue';
export type Language = 'ja' | 'en';
export type Words = <K extends Key>(key: K, ...slots: Slots<K>) => string;

const catalogues: Readonly<Record<Language, Catalogue>> = { ja, en };
const KEPT_AS = 'enza.language';

/** The reader's own choice, else the first of the browser's languages we speak, else English. */
export function pickLanguage(kept: string | null, wanted: readonly string[]): Language {
  if (kept === 'ja' || kept === 'en') return kept;
  for (const tag of wanted) {
    if (/^ja\b/i.test(tag)) return 'ja';
    if (/^en\b/i.test(tag)) return 'en';
  }
  return 'en';
}

export function wordsIn(language: Language): Words {
  const catalogue = catalogues[language];
  return (key, ...slots) => fill(catalogue[key], slots[0]);
}

function keptLanguage(): string | null {
  try {
    return localStorage.getItem(KEPT_AS);
  } catch {
    return null;
  }
}

const chosen = writable<Language>(
  typeof navigator === 'undefined' ? 'en' : pickLanguage(keptLanguage(), navigator.languages),
);

export const language = { subscribe: chosen.subscribe };
/** `$t('leave')`, `$t('count', { n: 7 })`. */
export const t = derived(chosen, wordsIn);

export function speak(next: Language): void {
  chosen.set(next);
  try {
    localStorage.setItem(KEPT_AS, next);
  } catch {
    // A browser that keeps nothing still shows the chosen language until the page is closed.
  }
}
