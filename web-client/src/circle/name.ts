/**
 * The rules for a nickname, the same the server applies, so that a wrong one is said beside its field.
 */

export const NAME_MAX = 64;

export type NameProblem = 'missing' | 'too-long' | 'odd' | 'passphrase-needed' | 'passphrase-wrong';

export function checkName(typed: string): { readonly name: string } | { readonly problem: NameProblem } {
  const name = typed.trim();
  if (name === '') return { problem: 'missing' };
  if (Array.from(name).length > NAME_MAX) return { problem: 'too-long' };
  if (/\p{Cc}/u.test(name)) return { problem: 'odd' };
  return { name };
}
