/** The words of `/doctor`, loaded with that page only. `speakAlso(outsidePart)` first. */
import { derived, writable } from 'svelte/store';
import type { Language, Part } from '..';
import type { Translated } from '../catalogue';
import { fill } from '../catalogue';
import type { ja } from './ja';

type OutsideCatalogue = Translated<typeof ja>;
export type OutsideKey = keyof typeof ja;
/** With what fills the slots; findings carry both as data. */
export type OutsideWords = (key: OutsideKey, slots?: Readonly<Record<string, string | number>>) => string;

const catalogues: Readonly<Record<Language, () => Promise<OutsideCatalogue>>> = {
  ja: async () => (await import('./ja')).ja,
  en: async () => (await import('./en')).en,
};
const spoken = writable<OutsideWords>(() => '');

/** `$o('out.title')`: as `$t`, for this page. */
export const o = derived(spoken, (words): OutsideWords => words);

export const outsidePart: Part = async (next) => {
  const catalogue = await catalogues[next]();
  return () => {
    spoken.set((key, slots) => fill(catalogue[key], slots));
  };
};
