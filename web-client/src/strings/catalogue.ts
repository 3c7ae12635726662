/**
 * What a catalogue is: the same keys in every language, each with the same slots. Checked by the compiler. The Japanese
 * one says which keys there are: that of the whole page (`ja.ts`), and those of its parts that are loaded apart.
 */
import type { ja } from './ja';

type Texts = Readonly<Record<string, string>>;
/** The catalogue of another language. */
export type Translated<C extends Texts> = Readonly<Record<keyof C, string>>;

type Slot<Text> = Text extends `${string}{${infer Name}}${infer Rest}` ? Name | Slot<Rest> : never;
/** The slots a key of that catalogue needs: nothing, or every one by name. */
export type SlotsIn<C extends Texts, K extends keyof C> = [Slot<C[K]>] extends [never]
  ? []
  : [Readonly<Record<Slot<C[K]>, string | number>>];
/** Its keys without slots. */
export type PlainKeyIn<C extends Texts> = { [K in keyof C]: SlotsIn<C, K> extends [] ? K : never }[keyof C];
export type WordsIn<C extends Texts> = <K extends keyof C>(key: K, ...slots: SlotsIn<C, K>) => string;

export type Catalogue = Translated<typeof ja>;
export type PlainKey = PlainKeyIn<typeof ja>;
export type Words = WordsIn<typeof ja>;

/** The words of a catalogue in one of its languages. */
export function wordsIn<C extends Texts>(catalogue: Translated<C>): WordsIn<C> {
  return (key, ...slots) => fill(catalogue[key], slots[0]);
}

export function fill(text: string, slots: Readonly<Record<string, string | number>> | undefined): string {
  if (slots === undefined) return text;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = slots[name];
    return value === undefined ? whole : String(value);
  });
}
