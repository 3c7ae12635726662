/**
 * What a catalogue is: the same keys in every language, each with the same slots. Checked by the compiler.
 */
import type { ja } from './ja';

type Japanese = typeof ja;
export type Key = keyof Japanese;
export type Catalogue = Readonly<Record<Key, string>>;

type Slot<Text> = Text extends `${string}{${infer Name}}${infer Rest}` ? Name | Slot<Rest> : never;
/** The slots a key needs: nothing, or every one by name. */
export type Slots<K extends Key> = [Slot<Japanese[K]>] extends [never]
  ? []
  : [Readonly<Record<Slot<Japanese[K]>, string | number>>];

/** Keys without slots. */
export type PlainKey = { [K in Key]: Slots<K> extends [] ? K : never }[Key];

export function fill(text: string, slots: Readonly<Record<string, string | number>> | undefined): string {
  if (slots === undefined) return text;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = slots[name];
    return value === undefined ? whole : String(value);
  });
}
