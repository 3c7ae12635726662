/**
 * Which browser this is, as far as the way to its permissions differs. Only for words; what a browser can do is asked
 * of the browser itself. Pure.
 */

export type Browser = 'ios' | 'safari' | 'android' | 'firefox' | 'other';

/** `touches` is `navigator.maxTouchPoints`: an iPad calls itself a Mac, but no Mac can be touched. */
export function browserOf(userAgent: string, touches: number): Browser {
  if (/iPhone|iPad|iPod/.test(userAgent) || (/Macintosh/.test(userAgent) && touches > 1)) return 'ios';
  if (/Firefox\//.test(userAgent)) return 'firefox';
  if (/Android/.test(userAgent)) return 'android';
  if (/Safari\//.test(userAgent) && !/Chrom(e|ium)\//.test(userAgent)) return 'safari';
  return 'other';
}
