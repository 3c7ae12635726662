/**
 * How often and how long the page tries to come back. Owns the waiting times; must never know what is retried.
 *
 * Two loops use it: livekit-client's own (resume, then full reconnect with the same token) and, when that gave up,
 * the page's (a new token from `/api/join`, a new connection).
 */

/** livekit-client's tries. Short, because a lost line usually returns within seconds and a try costs one request. */
const RESUME_DELAYS_MS = [0, 300, 1_000, 2_000, 3_000, 3_000, 3_000, 3_000, 3_000, 3_000] as const;

/** The page's tries: the longest wait between two. Higher spares a restarting server, lower brings people back sooner. */
const REJOIN_DELAY_MAX_MS = 10_000;
const REJOIN_DELAY_FIRST_MS = 500;
/** After this long the page stops by itself and asks. A hospital lift or a tunnel is far shorter. */
export const REJOIN_FOR_MS = 30 * 60_000;
/** Tries before the first entry is called a failure: somebody is watching, so few. */
export const FIRST_JOIN_TRIES = 3;

/** Delay before livekit-client's try number `tried` (0 is the first); null hands over to the page. `chance` is in [0, 1). */
export function resumeDelay(tried: number, chance: number): number | null {
  const base = RESUME_DELAYS_MS[tried];
  if (base === undefined) return null;
  // The first try is spread over half a second, or everybody in the room comes back in the same instant.
  return base === 0 ? chance * 500 : spread(base, chance);
}

/** Delay before the page's try number `tried` (0 is the first). `chance` is in [0, 1). */
export function rejoinDelay(tried: number, chance: number): number {
  return spread(Math.min(REJOIN_DELAY_MAX_MS, REJOIN_DELAY_FIRST_MS * 2 ** Math.min(tried, 10)), chance);
}

function spread(base: number, chance: number): number {
  return Math.round(base * (0.7 + 0.6 * chance));
}
