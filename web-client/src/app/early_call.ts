/**
 * The call that is dialled beside the circle's line instead of after it, where nothing is expected to stand between us
 * and the room. Owns it until the circle has let us in; must never begin it, so that nothing of ours is sent.
 */

import type { Connected } from '../media/contract';

export class EarlyCall {
  readonly #sealed: boolean;
  readonly #connected: Promise<Connected>;

  constructor(sealed: boolean, connected: Promise<Connected>) {
    this.#sealed = sealed;
    this.#connected = connected;
  }

  /** What became of it; null where that says nothing: the room is otherwise than we thought, or we were too early. */
  async take(sealed: boolean): Promise<Connected | null> {
    if (this.#sealed !== sealed) {
      await this.drop();
      return null;
    }
    const connected = await this.#connected;
    return 'call' in connected || connected.failure === 'blocked' ? connected : null;
  }

  /** Resolves when it is over: two calls of one person at a time end each other. */
  async drop(): Promise<void> {
    const connected = await this.#connected.catch(() => null);
    if (connected !== null && 'call' in connected) await connected.call.leave().catch(() => undefined);
  }
}
