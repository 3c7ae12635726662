/** Numbers as an operator reads them, in the reader's language. */

import type { Language } from '../strings';

const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** 1.4 GiB. */
export function bytes(amount: number, language: Language): string {
  let step = 0;
  let left = amount;
  while (left >= 1024 && step < BYTES.length - 1) {
    left /= 1024;
    step += 1;
  }
  return `${plain(left, language, left < 10 && step > 0 ? 1 : 0)} ${BYTES[step] ?? ''}`;
}

/** Bits per second, as lines are sold. */
export function bitRate(bytesPerSecond: number, language: Language): string {
  const bits = bytesPerSecond * 8;
  return bits < 1e6 ? `${plain(bits / 1e3, language, 0)} kbit/s` : `${plain(bits / 1e6, language, 1)} Mbit/s`;
}

export function plain(value: number, language: Language, digits = 0): string {
  return value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function percent(share: number, language: Language): string {
  return `${plain(share * 100, language)} %`;
}

export function day(at: number, language: Language): string {
  return new Date(at).toLocaleDateString(language, { year: 'numeric', month: 'long', day: 'numeric' });
}

export function clock(at: number, language: Language): string {
  return new Date(at).toLocaleTimeString(language, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
}

/** The two largest parts of a time: days and hours, hours and minutes, or minutes. */
export function parts(milliseconds: number): { readonly days: number; readonly hours: number; readonly minutes: number } {
  const minutes = Math.max(0, Math.floor(milliseconds / 60_000));
  return { days: Math.floor(minutes / 1440), hours: Math.floor((minutes % 1440) / 60), minutes: minutes % 60 };
}
