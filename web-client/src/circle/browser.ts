/**
 * Which browser this is, as far as the way to its permissions differs. Only for words; what a browser can do is asked
 * of the browser itself. Pure.
 */

export type Browser = 'ios' | 'safari' | 'android' | 'firefox' | 'other';

/** The app whose own browser shows the page, where it says so: microphone and camera often fail there. Null outside of one. */
export type InApp = 'line' | 'other';

export function inAppOf(userAgent: string): InApp | null {
  if (/\bLine\//.test(userAgent)) return 'line';
  return /\bFBA[NV]\b|\bInstagram\b|; wv\)/.test(userAgent) ? 'other' : null;
}

/** The same page in the device's own browser, out of LINE. What stands after `#` stays. */
export function outOfLine(address: string): string {
  const out = new URL(address);
  out.searchParams.set('openExternalBrowser', '1');
  return out.href;
}

/** `touches` is `navigator.maxTouchPoints`: an iPad calls itself a Mac, but no Mac can be touched. */
export function browserOf(userAgent: string, touches: number): Browser {
  if (/iPhone|iPad|iPod/.test(userAgent) || (/Macintosh/.test(userAgent) && touches > 1)) return 'ios';
  if (/Firefox\//.test(userAgent)) return 'firefox';
  if (/Android/.test(userAgent)) return 'android';
  if (/Safari\//.test(userAgent) && !/Chrom(e|ium)\//.test(userAgent)) return 'safari';
  return 'other';
}
