/** Links in what people write. Pure: text in, parts out; the page sets them as text, never as markup. */

export interface TextPart {
  readonly text: string;
  /** Where it leads; null for plain text. */
  readonly href: string | null;
}

/** Only web links, and only whole ones: nothing else may be pressed. Full-width brackets and stops end them. */
const LINK = /https?:\/\/[^\s<>"'「」（）『』【】、。！？]+/g;
/** What belongs to the sentence around a link, not to it. */
const TRAILING = /[.,;:!?)\]}]+$/;

export function withLinks(body: string): readonly TextPart[] {
  const parts: TextPart[] = [];
  let at = 0;
  const plain = (to: number): void => {
    if (to > at) parts.push({ text: body.slice(at, to), href: null });
    at = to;
  };
  for (const match of body.matchAll(LINK)) {
    const text = match[0].replace(TRAILING, '');
    if (!isAddress(text)) continue;
    plain(match.index);
    parts.push({ text, href: text });
    at = match.index + text.length;
  }
  plain(body.length);
  return parts;
}

function isAddress(text: string): boolean {
  try {
    const { protocol, host } = new URL(text);
    return (protocol === 'https:' || protocol === 'http:') && host !== '';
  } catch {
    return false;
  }
}
