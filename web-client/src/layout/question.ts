/** How much of the question of the day stands in the room. Pure; sizes in CSS pixels. */

/** Longer ones are set smaller; a sign of Chinese or Japanese is as wide as two letters. */
const LONG = 64;
/** Elsewhere than in the middle of a ring. */
export const LINES_ON_TOP = 3;
const LINES_MAX = 6;
/** Fewer do not say what it is about. */
const LINES_MIN = 2;
/** Heights at the page's own size of words: a line of a short question, of a long one, and what stands around them. */
const LINE = { short: 39, long: 27 } as const;
const AROUND = 34;
const READ_ALL = 44;
const SPEAKING = 66;

export function isLong(question: string): boolean {
  let width = 0;
  for (const sign of question) width += /[\u1100-\uffdc]/u.test(sign) ? 2 : 1;
  return width > LONG;
}

/** How many lines of it fit into the middle of a ring; two where even they do not. */
export function linesWithin(height: number, question: string, text: number): number {
  return Math.min(LINES_MAX, Math.max(LINES_MIN, lines(height, question, text)));
}

/** Whether a long one can stand in the middle of a ring at all; else it stands above. */
export function standsWithin(height: number, question: string, text: number): boolean {
  return !isLong(question) || lines(height, question, text) >= LINES_MIN;
}

function lines(height: number, question: string, text: number): number {
  const long = isLong(question);
  const free = height - (AROUND + SPEAKING) * text - (long ? READ_ALL : 0);
  return Math.floor(free / ((long ? LINE.long : LINE.short) * text));
}
