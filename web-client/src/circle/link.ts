/**
 * Reading an invitation out of what people paste: a whole link, the end of one, or the bare secret. What stands after `#`
 * never leaves the browser by itself: the invite, and `&k=` the key of the room's sound and picture, which the server
 * never gets. Owns that form. Must never know the network: whether the invite is good is the server's to say.
 */

export interface Fragment {
  readonly invite: string;
  /** 256 random bits, base64url; null in a link without one. */
  readonly key: string | null;
}

export type PastedLink =
  | ({ readonly kind: 'invite' } & Fragment)
  /** A link to another Enza server: the page goes there, as a press on the link would. */
  | { readonly kind: 'elsewhere'; readonly address: string }
  | { readonly kind: 'none' };

/** Longest invite we pass on. Real ones are far shorter; this only keeps a pasted book out of a request. */
const INVITE_MAX = 512;
const INVITE_FORM = /^[A-Za-z0-9._~-]+$/;
const KEY_BYTES = 32;
const KEY_FORM = /^[A-Za-z0-9_-]{43}$/;

/** A key that is cut short is none: with half of it nobody would be heard. */
export function readFragment(fragment: string): Fragment | null {
  const [invite = '', ...more] = fragment.replace(/^#/, '').trim().split('&');
  if (invite.length > INVITE_MAX || !INVITE_FORM.test(invite)) return null;
  const key = more.find((part) => part.startsWith('k='))?.slice(2) ?? '';
  return { invite, key: KEY_FORM.test(key) ? key : null };
}

export function fragmentOf({ invite, key }: Fragment): string {
  return key === null ? `#${invite}` : `#${invite}&k=${key}`;
}

/** An invite's link with the room's key in it. */
export function withKey(link: string, key: string | null): string {
  const address = new URL(link);
  const fragment = readFragment(address.hash);
  if (fragment === null || key === null) return link;
  address.hash = fragmentOf({ ...fragment, key });
  return address.href;
}

/** `random` are `KEY_BYTES` bytes that nobody can guess. */
export function keyOf(random: Uint8Array): string {
  return btoa(String.fromCharCode(...random))
    .replace(/\+/g, '-')
    .replace(/\//g, '_')
    .replace(/=+$/, '');
}

export function newKey(): string {
  return keyOf(crypto.getRandomValues(new Uint8Array(KEY_BYTES)));
}

/** Whether a text that the server could read carries the key of a link: it is not sent. */
export function holdsKey(text: string): boolean {
  return /[#&]k=[\w-]{43}/.test(text);
}

export function readPastedLink(text: string, origin: string): PastedLink {
  const pasted = text.trim();
  // Mail programs wrap links in <> and put a full stop behind them.
  const link = /https?:\/\/[^\s<>"'「」（）]+/.exec(pasted)?.[0];
  if (link === undefined) {
    const found = readFragment(pasted.slice(pasted.indexOf('#') + 1));
    return found !== null && found.invite.length >= 8 ? { kind: 'invite', ...found } : { kind: 'none' };
  }
  let address: URL;
  try {
    address = new URL(link);
  } catch {
    return { kind: 'none' };
  }
  const found = readFragment(address.hash);
  if (found === null || !address.pathname.endsWith('/join')) return { kind: 'none' };
  return address.origin === origin ? { kind: 'invite', ...found } : { kind: 'elsewhere', address: address.href };
}
