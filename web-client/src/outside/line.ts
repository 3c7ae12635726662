/**
 * The socket of the page `/doctor`: small questions to the server and its answers. Owns what waits for an answer. Must never know
 * what an answer means.
 */

/** An answer that takes longer counts as none. */
const ANSWER_WITHIN_MS = 4000;

export interface Hello {
  readonly unixMillis: number;
  /** How the page's certificate came to be: by the server itself, from files, by an authority; `none`: plain HTTP. */
  readonly certificate: string;
  /** Of the server's sound and picture, TCP and UDP; null when it names none. */
  readonly port: number | null;
  /** Addresses that say as whom they see us. */
  readonly stun: readonly string[];
  /** A second port of the server for this visit; null when it had none. */
  readonly second: { readonly udp: number; readonly tcp: number } | null;
  readonly iceServers: readonly RTCIceServer[];
  /** The server tells private addresses only. */
  readonly private: boolean;
  /** We come from outside of its network. */
  readonly away: boolean;
}

export interface Second {
  /** From where the second port was asked. */
  readonly udp: readonly string[];
  /** Whether somebody connected to it. */
  readonly tcp: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

const isRecord = (value: unknown): value is Fields => typeof value === 'object' && value !== null;
const texts = (value: unknown): readonly string[] => (Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []);
const number = (value: unknown): number => (typeof value === 'number' ? value : 0);

function helloOf(message: Fields): Hello {
  const { second, iceServers } = message;
  return {
    unixMillis: number(message['unixMillis']),
    certificate: String(message['certificate']),
    port: number(message['port']) || null,
    stun: texts(message['stun']),
    second: isRecord(second) ? { udp: number(second['udp']), tcp: number(second['tcp']) } : null,
    iceServers: (Array.isArray(iceServers) ? iceServers : []).filter(isRecord).map((server) => ({
      urls: [...texts(server['urls'])],
      username: String(server['username']),
      credential: String(server['credential']),
    })),
    private: message['private'] === true,
    away: message['away'] === true,
  };
}

export type Opened = { readonly kind: 'line'; readonly line: Line } | { readonly kind: 'busy' | 'none' };

export class Line {
  readonly hello: Hello;
  readonly #socket: WebSocket;
  /** By what they wait for: `pong`, `second`, `answer 1`. */
  readonly #waiting = new Map<string, (message: Fields | null) => void>();

  private constructor(socket: WebSocket, hello: Hello) {
    this.#socket = socket;
    this.hello = hello;
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      const message = read(data);
      if (message === null) return;
      const { type, id } = message;
      const answers = type === 'answer' || type === 'refused';
      this.#settle(answers ? `answer ${String(id)}` : String(type), type === 'refused' ? null : message);
    };
    socket.onclose = () => {
      for (const name of [...this.#waiting.keys()]) this.#settle(name, null);
    };
  }

  /** `none`: there is no way for a WebSocket; `busy`: too many look at once. */
  static open(address: string): Promise<Opened> {
    return new Promise((resolve) => {
      const socket = new WebSocket(address);
      const timer = setTimeout(() => {
        socket.close();
        resolve({ kind: 'none' });
      }, 2 * ANSWER_WITHIN_MS);
      const settle = (opened: Opened): void => {
        clearTimeout(timer);
        resolve(opened);
      };
      socket.onmessage = ({ data }: MessageEvent<unknown>) => {
        const message = read(data);
        if (message?.['type'] === 'hello') settle({ kind: 'line', line: new Line(socket, helloOf(message)) });
      };
      // 1013: try again later (RFC 6455 section 7.4.1 and its registry).
      socket.onclose = ({ code }) => {
        settle({ kind: code === 1013 ? 'busy' : 'none' });
      };
    });
  }

  /** The server's answer to an offer; null when it refused. */
  async offer(id: number, sdp: string): Promise<string | null> {
    const answer = await this.#ask(`answer ${id}`, { type: 'offer', id, sdp });
    return typeof answer?.['sdp'] === 'string' ? answer['sdp'] : null;
  }

  /** The server's clock. */
  async time(): Promise<number | null> {
    const answer = await this.#ask('pong', { type: 'ping' });
    return typeof answer?.['unixMillis'] === 'number' ? answer['unixMillis'] : null;
  }

  async second(): Promise<Second | null> {
    const answer = await this.#ask('second', { type: 'second' });
    return answer === null ? null : { udp: texts(answer['udp']), tcp: answer['tcp'] === true };
  }

  /** As whom we are seen, so that the second port may knock there. */
  reached(address: string): void {
    this.#say({ type: 'reached', address });
  }

  close(): void {
    this.#socket.close();
  }

  #ask(name: string, question: Fields): Promise<Fields | null> {
    return new Promise((resolve) => {
      this.#waiting.set(name, resolve);
      setTimeout(() => {
        this.#settle(name, null, resolve);
      }, ANSWER_WITHIN_MS);
      if (!this.#say(question)) this.#settle(name, null);
    });
  }

  #say(message: Fields): boolean {
    if (this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #settle(name: string, message: Fields | null, only?: (message: Fields | null) => void): void {
    const waiting = this.#waiting.get(name);
    if (waiting === undefined || (only !== undefined && only !== waiting)) return;
    this.#waiting.delete(name);
    waiting(message);
  }
}

function read(data: unknown): Fields | null {
  try {
    const message: unknown = typeof data === 'string' ? JSON.parse(data) : null;
    return isRecord(message) ? message : null;
  } catch {
    return null;
  }
}
