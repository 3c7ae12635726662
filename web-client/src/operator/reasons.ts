/** Why somebody or something was turned away, as the server names it (`server/enza/src/metrics.rs`). */

import type { OperatorKey } from '../strings/operator';

export const REASONS = [
  'invite-unknown', 'invite-revoked', 'invite-expired', 'invite-early', 'invite-used-up', 'passphrase-needed', 'passphrase-wrong',
  'banned', 'name-missing', 'name-too-long', 'too-many-attempts', 'unavailable', 'token', 'server-full', 'room', 'other',
  // Connections.
  'too-many', 'gave-way', 'late',
] as const;

/** The catalogue's words for it; null: a newer server's, which is shown as it is. */
export function whyKey(reason: string): OperatorKey | null {
  const known = REASONS.find((one) => one === reason);
  return known === undefined ? null : `op.why.${known}`;
}
