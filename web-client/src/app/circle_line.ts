/**
 * The way through the door and the line to the circle: joins with the invite, keeps the newest room token, opens the
 * circle socket and gets another token when the old one opens nothing any more. Must never know media.
 */

import type { Ticket } from '../circle/journey';
import { FIRST_JOIN_TRIES, REJOIN_FOR_MS, rejoinDelay } from '../circle/rejoin';
import type { Command, Message } from '../protocol/circle';
import type { Admission, RefusalCode } from '../protocol/http';
import { join } from '../protocol/http';
import type { Pass } from '../protocol/pass';
import { readPass } from '../protocol/pass';
import type { Answer } from '../protocol/socket';
import { CircleSocket } from '../protocol/socket';
import { browserMark } from './memory';

/** A token that ends this soon is not begun with. */
export const PASS_SPARE_MS = 30_000;

export interface CircleEvents {
  readonly admitted: (admission: Admission) => void;
  /** The newest token. */
  readonly passed: (pass: Pass) => void;
  readonly hear: (message: Message) => void;
  readonly line: (stands: boolean) => void;
  /** The invite does not let us in. */
  readonly refused: (code: RefusalCode, message: string) => void;
  /** The server cannot be reached, and it is time to ask. */
  readonly failed: (detail: string) => void;
}

export class CircleLine {
  readonly #ticket: Ticket;
  readonly #events: CircleEvents;
  #pass: Pass | null;
  #socket: CircleSocket | null = null;
  #over = false;
  /** The circle has answered once. */
  #stood = false;
  #lostAt: number;
  #hurry: () => void = () => undefined;

  constructor(ticket: Ticket, pass: Pass | null, events: CircleEvents) {
    this.#ticket = ticket;
    this.#events = events;
    this.#pass = pass;
    this.#lostAt = Date.now();
    void this.#begin();
  }

  pass(): Pass | null {
    return this.#pass;
  }

  send(command: Command): Promise<Answer> {
    return this.#socket?.send(command) ?? Promise.resolve<Answer>({ kind: 'lost' });
  }

  hurry(): void {
    this.#hurry();
    this.#socket?.hurry();
  }

  drop(): void {
    this.#socket?.drop();
  }

  close(): void {
    this.#over = true;
    this.#hurry();
    this.#socket?.close();
  }

  /** Another token; false when the answer is final. A server that cannot be reached is not final. */
  renew(): Promise<boolean> {
    return this.#ask(this.#stood && Date.now() - this.#lostAt < REJOIN_FOR_MS);
  }

  async #ask(patient: boolean): Promise<boolean> {
    const { invite, name, passphrase } = this.#ticket;
    const answer = await join(invite, name, {
      mark: browserMark(),
      passphrase: passphrase ?? undefined,
      again: this.#pass?.token,
    });
    if (this.#isOver()) return false;
    switch (answer.kind) {
      case 'ok': {
        const pass = readPass(answer.value.token);
        if (pass === null) return true;
        this.#take(pass);
        this.#events.admitted(answer.value);
        return true;
      }
      case 'refused':
        // Too many people behind one address is no answer to us.
        if (answer.code === 'too-many-attempts' && this.#stood) return true;
        this.#events.refused(answer.code, answer.message);
        return false;
      case 'unreachable':
        if (patient) return true;
        this.#events.failed(answer.detail);
        return false;
    }
  }

  async #begin(): Promise<void> {
    for (let tried = 0; this.#pass === null || this.#pass.expires < Date.now() + PASS_SPARE_MS; tried += 1) {
      if (tried > 0) await this.#wait(rejoinDelay(tried - 1, Math.random()));
      if (this.#isOver()) return;
      if (!(await this.#ask(tried + 1 < FIRST_JOIN_TRIES)) || this.#isOver()) return;
    }
    this.#socket = new CircleSocket({
      address: () => {
        const { circle = '', token = '' } = this.#pass ?? {};
        return `${location.origin.replace(/^http/, 'ws')}${circle}?access_token=${encodeURIComponent(token)}`;
      },
      open: (address) => new WebSocket(address),
      tell: (message) => {
        if (message.type === 'token') {
          const pass = readPass(message.token);
          if (pass !== null) this.#take(pass);
        } else this.#events.hear(message);
      },
      line: (stands) => {
        if (stands) this.#stood = true;
        else this.#lostAt = Date.now();
        this.#events.line(stands);
      },
      renew: () => this.renew(),
      delay: (tried) => rejoinDelay(tried, Math.random()),
    });
  }

  #take(pass: Pass): void {
    this.#pass = pass;
    this.#events.passed(pass);
  }

  #isOver(): boolean {
    return this.#over;
  }

  #wait(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
