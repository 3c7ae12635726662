/** The words of the pages for whoever keeps the server, loaded with those pages only. `speakAlso(operatorPart)` first. */
import { derived, writable } from 'svelte/store';
import type { Language, Part } from '..';
import type { PlainKeyIn, Translated, WordsIn } from '../catalogue';
import { wordsIn } from '../catalogue';
import type { ja } from './ja';

export type OperatorWords = WordsIn<typeof ja>;
export type OperatorKey = PlainKeyIn<typeof ja>;

const catalogues: Readonly<Record<Language, () => Promise<Translated<typeof ja>>>> = {
  ja: async () => (await import('./ja')).ja,
  en: async () => (await import('./en')).en,
};
const spoken = writable<OperatorWords>(() => '');

/** `$o('op.home')`: as `$t`, for these pages. */
export const o = derived(spoken, (words): OperatorWords => words);

export const operatorPart: Part = async (next) => {
  const words = wordsIn<typeof ja>(await catalogues[next]());
  return () => {
    spoken.set(words);
  };
};
