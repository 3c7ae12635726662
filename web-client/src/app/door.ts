/**
 * Before the door: what we come in with, what is shown while a host lets us wait, and what the room asks before it lets
 * us in. Owns the ticket; must never know the call.
 */

import type { Ticket, Waiting } from '../circle/journey';
import { fragmentOf, newKey } from '../circle/link';
import type { Command, Said } from '../protocol/circle';
import type { Admission, RefusalCode } from '../protocol/http';
import type { Screen } from './screen';

export class Door {
  readonly #screen: Screen;
  readonly #send: (command: Command) => void;
  ticket: Ticket;
  #waiting: Waiting = { question: '', inside: 0, line: null };

  constructor(screen: Screen, ticket: Ticket, send: (command: Command) => void) {
    this.#screen = screen;
    this.#send = send;
    this.ticket = ticket;
  }

  /** A host opens it, so that the room is not shown first. */
  isKept(): boolean {
    return this.ticket.lobby && this.ticket.role !== 'host';
  }

  /** The waiting page, with what was said last. */
  wait(): void {
    this.#screen.go({ at: 'waiting', ticket: this.ticket, waiting: this.#waiting });
  }

  /** The invite is good; the circle has not let us in yet. */
  admitted({ role, room }: Admission): void {
    this.ticket = { ...this.ticket, role, room };
    const journey = this.#screen.now();
    if (journey.at === 'room') {
      this.#screen.go({ ...journey, ticket: this.ticket, room: { ...journey.room, room } });
    } else if (journey.at === 'waiting') this.#screen.go({ ...journey, ticket: this.ticket });
  }

  /** What is still missing before we are in. */
  stand({ waitsFor, agreement, question, inside = 0 }: Said<'waiting'>): void {
    this.ticket = { ...this.ticket, agreement };
    if (waitsFor === 'host') {
      this.#waiting = { ...this.#waiting, question, inside };
      // Who looks at their devices meanwhile goes on looking.
      if (this.#screen.now().at !== 'devices') this.wait();
    } else if (this.ticket.agreed === agreement.version) {
      this.#send({ type: 'agree', version: agreement.version });
    } else {
      this.#screen.go({ at: 'agreement', ticket: this.ticket, agreement });
    }
  }

  /** A host says something to those who wait. */
  hearLine({ line }: Said<'line'>): void {
    this.#waiting = { ...this.#waiting, line };
    if (this.#screen.now().at === 'waiting') this.wait();
  }

  /** The agreement was accepted in front of the door. */
  agree(version: number): void {
    this.ticket = { ...this.ticket, agreed: version };
    this.#send({ type: 'agree', version });
  }

  /** Asks for what the refusal says was wrong. */
  askAgain(code: RefusalCode): void {
    const problem =
      code === 'passphrase-needed' || code === 'passphrase-wrong'
        ? code
        : code === 'name-too-long'
          ? 'too-long'
          : 'missing';
    const passphrase = problem.startsWith('passphrase') ? '' : this.ticket.passphrase;
    this.#screen.go({ at: 'name', ticket: { ...this.ticket, passphrase }, problem });
  }

  /** A host turns encryption on and came without a key: theirs is made here, and stands in their links from now on. */
  makeKey(): void {
    if (this.ticket.key !== null) return;
    this.ticket = { ...this.ticket, key: newKey() };
    history.replaceState(null, '', `/join${fragmentOf(this.ticket)}`);
    const journey = this.#screen.now();
    if (journey.at === 'room') this.#screen.go({ ...journey, ticket: this.ticket });
  }
}
