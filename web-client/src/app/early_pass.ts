/**
 * The room token, asked for while people look at their own picture, so that the press on "enter" waits for nothing.
 * Owns one token and for whom it was asked; must never open anything with it.
 */

import type { Ticket } from '../circle/journey';
import { join } from '../protocol/http';
import type { Pass } from '../protocol/pass';
import { readPass } from '../protocol/pass';
import { browserMark } from './memory';

type Asked = Pick<Ticket, 'invite' | 'name' | 'passphrase'>;

export class EarlyPass {
  #asked: Asked | null = null;
  #pass: Pass | null = null;

  /**
   * Asks for this person. `wrong` is told at once when what was typed opens nothing; every other refusal is told when
   * "enter" is pressed. An invite that lets only so many people in is not used before then.
   */
  async ask(ticket: Ticket, wrong: () => void): Promise<void> {
    if (ticket.counted || (this.#asked !== null && sameAs(this.#asked, ticket))) return;
    this.#asked = ticket;
    this.#pass = null;
    const { invite, name, passphrase } = ticket;
    const answer = await join(invite, name, { mark: browserMark(), passphrase: passphrase ?? undefined });
    if (this.#asked !== ticket) return;
    if (answer.kind === 'ok') this.#pass = readPass(answer.value.token);
    else {
      this.#asked = null;
      if (answer.kind === 'refused' && answer.code === 'passphrase-wrong') wrong();
    }
  }

  /** What is under way says nothing any more. */
  forget(): void {
    this.#asked = null;
    this.#pass = null;
  }

  /** Once, for whom it was asked; null while there is none. */
  take(ticket: Ticket): Pass | null {
    const pass = this.#asked !== null && sameAs(this.#asked, ticket) ? this.#pass : null;
    this.forget();
    return pass;
  }
}

function sameAs(asked: Asked, { invite, name, passphrase }: Ticket): boolean {
  return asked.invite === invite && asked.name === name && asked.passphrase === passphrase;
}
