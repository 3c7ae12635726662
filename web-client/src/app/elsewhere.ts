/**
 * Whether this browser already sits in a room, in another window: a lock is held there, named after the invite, which
 * ends with the window whatever happens to it. It never leaves the browser.
 */

const nameOf = (invite: string): string => `enza.seat.${invite}`;

/** From now until the answer is called we sit there. */
export function sitHere(invite: string): () => void {
  let rise = (): void => undefined;
  const risen = new Promise<void>((resolve) => {
    rise = resolve;
  });
  // Old browsers and insecure pages have no locks: then nothing is said there.
  try {
    void navigator.locks.request(nameOf(invite), { mode: 'shared' }, () => risen).catch(() => undefined);
  } catch {
    return () => undefined;
  }
  return rise;
}

export async function sitsElsewhere(invite: string): Promise<boolean> {
  try {
    const { held = [] } = await navigator.locks.query();
    return held.some(({ name }) => name === nameOf(invite));
  } catch {
    return false;
  }
}
