/**
 * The words on the page, in the reader's language: only that language is loaded. Owns which language that is; must
 * never know a screen.
 */
import { derived, writable } from 'svelte/store';
import type { Catalogue, Words } from './catalogue';
import { wordsIn } from './catalogue';

export type { PlainKey, Words } from './catalogue';
export type Language = 'ja' | 'en';

const catalogues: Readonly<Record<Language, () => Promise<Catalogue>>> = {
  ja: async () => (await import('./ja')).ja,
  en: async () => (await import('./en')).en,
};
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

export function wordsOf(catalogue: Catalogue): Words {
  return wordsIn(catalogue);
}

function keptLanguage(): string | null {
  try {
    return localStorage.getItem(KEPT_AS);
  } catch {
    return null;
  }
}

/** What is spoken now; before `begin` is done there are no words, and nothing may be drawn. */
const spoken = writable<{ readonly language: Language; readonly words: Words }>({ language: 'en', words: () => '' });

export const language = derived(spoken, (now) => now.language);
/** `$t('leave')`, `$t('count', { n: 7 })`. */
export const t = derived(spoken, (now): Words => now.words);

/** Fetches a language for one part of the page, and gives back what shows it. */
export type Part = (next: Language) => Promise<() => void>;
const parts: Part[] = [];

/** From now on a language comes with the words of this part, all at once. Called before `begin`. */
export function speakAlso(part: Part): void {
  parts.push(part);
}

/** Loads the reader's language; rejects when it cannot be had. */
export async function begin(): Promise<void> {
  await change(pickLanguage(keptLanguage(), navigator.languages));
}

/** Another language, once it is loaded. Without a line the present one stays. */
export async function speak(next: Language): Promise<void> {
  try {
    await change(next);
  } catch {
    return;
  }
  try {
    localStorage.setItem(KEPT_AS, next);
  } catch {
    // A browser that keeps nothing still shows the chosen language until the page is closed.
  }
}

async function change(next: Language): Promise<void> {
  const [catalogue, ...shows] = await Promise.all([catalogues[next](), ...parts.map((part) => part(next))]);
  for (const show of shows) show();
  spoken.set({ language: next, words: wordsOf(catalogue) });
}
