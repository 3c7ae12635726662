/**
 * Reading an invite out of what people paste: a whole link, the end of one, or the bare secret.
 * Owns that one decision. Must never know the network: whether the invite is good is the server's to say.
 */

export type PastedLink =
  | { readonly kind: 'invite'; readonly invite: string }
  /** A link to another Enza server: the page goes there, as a press on the link would. */
  | { readonly kind: 'elsewhere'; readonly address: string }
  | { readonly kind: 'none' };

/** Longest invite we pass on. Real ones are far shorter; this only keeps a pasted book out of a request. */
const INVITE_MAX = 512;
const INVITE_FORM = /^[A-Za-z0-9._~-]+$/;

export function readInviteFragment(fragment: string): string | null {
  const invite = fragment.replace(/^#/, '').trim();
  return invite.length <= INVITE_MAX && INVITE_FORM.test(invite) ? invite : null;
}

export function readPastedLink(text: string, origin: string): PastedLink {
  const pasted = text.trim();
  // Mail programs wrap links in <> and put a full stop behind them.
  const link = /https?:\/\/[^\s<>"'「」（）]+/.exec(pasted)?.[0];
  if (link === undefined) {
    const invite = readInviteFragment(pasted.slice(pasted.indexOf('#') + 1));
    return invite !== null && invite.length >= 8 ? { kind: 'invite', invite } : { kind: 'none' };
  }
  let address: URL;
  try {
    address = new URL(link);
  } catch {
    return { kind: 'none' };
  }
  const invite = readInviteFragment(address.hash);
  if (invite === null || !address.pathname.endsWith('/join')) return { kind: 'none' };
  return address.origin === origin ? { kind: 'invite', invite } : { kind: 'elsewhere', address: address.href };
}
