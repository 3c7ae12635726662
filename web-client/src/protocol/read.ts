/**
 * Readers of JSON: each takes an unknown value and gives the typed one, or throws `Misread`. Types are inferred from
 * readers, so that what is checked and what is typed cannot differ.
 */

export class Misread extends Error {}

export type Reader<T> = (value: unknown) => T;
export type Read<R> = R extends Reader<infer T> ? T : never;

export const text: Reader<string> = (value) => {
  if (typeof value !== 'string') throw new Misread('no text');
  return value;
};

export const number: Reader<number> = (value) => {
  if (typeof value !== 'number') throw new Misread('no number');
  return value;
};

export const flag: Reader<boolean> = (value) => {
  if (typeof value !== 'boolean') throw new Misread('no flag');
  return value;
};

export function list<T>(item: Reader<T>): Reader<readonly T[]> {
  return (value) => {
    if (!Array.isArray(value)) throw new Misread('no list');
    return value.map(item);
  };
}

export function oneOf<const T extends string>(...known: readonly T[]): Reader<T> {
  return (value) => {
    const found = known.find((one) => one === value);
    if (found === undefined) throw new Misread('unknown word');
    return found;
  };
}

export function orNull<T>(reader: Reader<T>): Reader<T | null> {
  return (value) => (value === null ? null : reader(value));
}

/** The first reader that can. */
export function either<A, B>(first: Reader<A>, second: Reader<B>): Reader<A | B> {
  return (value) => {
    try {
      return first(value);
    } catch {
      return second(value);
    }
  };
}

type Fields = Readonly<Record<string, Reader<unknown>>>;
type Whole<F extends Fields> = { readonly [K in keyof F]: Read<F[K]> };
type Partly<F extends Fields> = { readonly [K in keyof F]?: Read<F[K]> };

/** An object with these fields; others are left out. */
export function record<F extends Fields>(fields: F): Reader<Whole<F>> {
  return recordWith(fields, {});
}

/** An object with these fields, and those of `optional` that are there. */
export function recordWith<F extends Fields, O extends Fields>(fields: F, optional: O): Reader<Whole<F> & Partly<O>> {
  return (value) => {
    if (typeof value !== 'object' || value === null) throw new Misread('no object');
    const from = value as Readonly<Record<string, unknown>>;
    const read: Record<string, unknown> = {};
    for (const [name, reader] of Object.entries(fields)) read[name] = reader(from[name]);
    for (const [name, reader] of Object.entries(optional)) {
      if (from[name] !== undefined) read[name] = reader(from[name]);
    }
    return read as Whole<F> & Partly<O>;
  };
}
