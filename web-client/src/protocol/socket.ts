/**
 * The circle socket: one connection that comes back by itself and catches up, commands that are answered once.
 * Owns connection, revision and waiting commands. Must never know what a message means for a screen.
 */

import type { Command, Message } from './circle';
import { readMessage } from './circle';

/** Commands that wait for a connection or an answer. Higher: an old press is carried out long after it was meant. */
const COMMANDS_MAX = 32;
/** A command without an answer for this long means a dead line. Lower drops slow mobile lines that still work. */
const ANSWER_WITHIN_MS = 10_000;
/** After this many tries that were not even opened, the token may be what is wrong. */
const RENEW_AFTER = 2;

export type Answer =
  | { readonly kind: 'ok' }
  | { readonly kind: 'refused'; readonly code: string }
  /** The line fell before the answer came, or nothing more fits the queue: it may or may not have been done. */
  | { readonly kind: 'lost' };

/** The part of a WebSocket that is used; tests bring their own. */
export type Wire = Pick<WebSocket, 'onopen' | 'onmessage' | 'onclose' | 'send' | 'close'>;

export interface SocketOptions {
  /** Address of the circle with the newest token; parameters of a resume are added to it. */
  readonly address: () => string;
  readonly open: (address: string) => Wire;
  readonly tell: (message: Message) => void;
  /** The line stands and everything missed was told, or it fell. */
  readonly line: (stands: boolean) => void;
  /** Gets another token; false when that is hopeless, and the socket stops. */
  readonly renew: () => Promise<boolean>;
  /** Wait before try number `tried` (0 is the first), milliseconds. */
  readonly delay: (tried: number) => number;
}

interface Waiting {
  readonly command: Command;
  readonly answer: (answer: Answer) => void;
}

/** After these nothing more comes, and coming back would only be sent away again. */
function isFinal(message: Message): boolean {
  const { type } = message;
  return type === 'elsewhere' || type === 'removed' || type === 'ended' || (type === 'refused' && message.id === undefined);
}

export class CircleSocket {
  readonly #options: SocketOptions;
  #wire: Wire | null = null;
  /** Something was said on this connection. */
  #stands = false;
  #over = false;
  #tried = 0;
  #unopened = 0;
  #resume: { readonly epoch: string; revision: number } | null = null;
  #lastId = 0;
  #queue: Waiting[] = [];
  readonly #sent = new Map<number, Waiting & { readonly timer: ReturnType<typeof setTimeout> }>();
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(options: SocketOptions) {
    this.#options = options;
    this.#connect();
  }

  /** Carries a command out, now or when the line stands again. */
  send(command: Command): Promise<Answer> {
    return new Promise((answer) => {
      if (this.#over || this.#queue.length + this.#sent.size >= COMMANDS_MAX) answer({ kind: 'lost' });
      else {
        this.#queue.push({ command, answer });
        this.#flush();
      }
    });
  }

  /** Tries at once instead of waiting. */
  hurry(): void {
    if (this.#over || this.#wire !== null) return;
    clearTimeout(this.#retry);
    this.#connect();
  }

  /** The line is known to be dead: no waiting for the browser to notice. */
  drop(): void {
    this.#fell(this.#wire);
  }

  close(): void {
    this.#over = true;
    clearTimeout(this.#retry);
    this.#letGo();
    for (const { answer } of this.#queue.splice(0)) answer({ kind: 'lost' });
  }

  #connect(): void {
    const address = new URL(this.#options.address());
    if (this.#resume !== null) {
      address.searchParams.set('epoch', this.#resume.epoch);
      address.searchParams.set('revision', String(this.#resume.revision));
    }
    const wire = this.#options.open(address.href);
    this.#wire = wire;
    let opened = false;
    wire.onopen = () => {
      opened = true;
      this.#unopened = 0;
    };
    wire.onmessage = ({ data }: MessageEvent<unknown>) => {
      const message = typeof data === 'string' ? readMessage(data) : null;
      if (message !== null) this.#hear(message);
    };
    wire.onclose = () => {
      if (!opened) this.#unopened += 1;
      this.#fell(wire);
    };
  }

  #hear(message: Message): void {
    if (message.type === 'ok' || (message.type === 'refused' && message.id !== undefined)) {
      const id = message.id ?? 0;
      const waiting = this.#sent.get(id);
      this.#sent.delete(id);
      clearTimeout(waiting?.timer);
      waiting?.answer(message.type === 'ok' ? { kind: 'ok' } : { kind: 'refused', code: message.code });
      return;
    }
    if (message.type === 'state') this.#resume = { epoch: message.epoch, revision: message.revision };
    else if (message.type === 'waiting') this.#resume = null;
    else if ('revision' in message && this.#resume !== null) this.#resume.revision = message.revision;
    if (isFinal(message)) this.close();
    this.#options.tell(message);
    if (!this.#stands && (message.type === 'state' || message.type === 'caught-up' || message.type === 'waiting')) {
      this.#stands = true;
      this.#tried = 0;
      this.#options.line(true);
      this.#flush();
    }
  }

  #flush(): void {
    const wire = this.#wire;
    if (!this.#stands || wire === null) return;
    for (const waiting of this.#queue.splice(0)) {
      const id = (this.#lastId += 1);
      const timer = setTimeout(() => {
        this.#fell(wire);
      }, ANSWER_WITHIN_MS);
      this.#sent.set(id, { ...waiting, timer });
      wire.send(JSON.stringify({ id, ...waiting.command }));
    }
  }

  #letGo(): void {
    const wire = this.#wire;
    this.#wire = null;
    this.#stands = false;
    if (wire !== null) {
      wire.onopen = wire.onmessage = wire.onclose = null;
      wire.close();
    }
    for (const { answer, timer } of this.#sent.values()) {
      clearTimeout(timer);
      answer({ kind: 'lost' });
    }
    this.#sent.clear();
  }

  #fell(wire: Wire | null): void {
    if (this.#over || wire === null || wire !== this.#wire) return;
    const stood = this.#stands;
    this.#letGo();
    if (stood) this.#options.line(false);
    this.#retry = setTimeout(() => void this.#again(), this.#options.delay(this.#tried));
    this.#tried += 1;
  }

  async #again(): Promise<void> {
    if (this.#unopened >= RENEW_AFTER) {
      this.#unopened = 0;
      if (!(await this.#options.renew())) {
        this.close();
        return;
      }
    }
    if (!this.#over && this.#wire === null) this.#connect();
  }
}
