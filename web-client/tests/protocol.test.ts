import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import type { Command, Message, Request } from '../src/protocol/circle';
import { readMessage } from '../src/protocol/circle';
import { readPass } from '../src/protocol/pass';
import type { Wire } from '../src/protocol/socket';
import { CircleSocket } from '../src/protocol/socket';

const golden = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../server/circle/tests/golden/${name}`, import.meta.url), 'utf8'));

describe("the server's golden messages", () => {
  const meeting = golden('meeting.json') as readonly { readonly message: Readonly<Record<string, unknown>> }[];

  it('are read whole: no field is missing from the types, none is too much', () => {
    for (const { message } of meeting) expect(readMessage(JSON.stringify(message))).toEqual(message);
  });

  it('with any field missing or of another kind are no message', () => {
    // Fields that the protocol lets be absent.
    const absent = new Set(['seat', 'lobby', 'closesAt', 'id', 'source', 'inside']);
    for (const { message } of meeting) {
      for (const name of Object.keys(message)) {
        expect(readMessage(JSON.stringify({ ...message, [name]: { odd: 1 } })), name).toBeNull();
        const { [name]: left, ...rest } = message;
        if (!absent.has(name) && left !== null) expect(readMessage(JSON.stringify(rest)), name).toBeNull();
      }
    }
  });

  it('of a newer server that this page does not know are passed over', () => {
    for (const frame of ['{"type":"teapot"}', '{"type":"toString"}', '[]', 'null', '{', '7']) {
      expect(readMessage(frame)).toBeNull();
    }
  });

  it('name every command in the words of this page', () => {
    const commands: readonly Request[] = [
      { id: 1, type: 'agree', version: 1 },
      { id: 2, type: 'raise-hand' },
      { id: 3, type: 'lower-hand' },
      { id: 4, type: 'step-away', away: true },
      { id: 5, type: 'write', to: 'everyone', body: 'Hello.' },
      { id: 6, type: 'write', to: 'hosts', body: 'I need a hand.' },
      { id: 7, type: 'write', to: { participant: 'guest-1' }, body: 'I am here.' },
      { id: 8, type: 'remove-text', text: 1 },
      { id: 9, type: 'react', reaction: '👏' },
      { id: 10, type: 'leave' },
      { id: 11, type: 'mute', source: 'microphone', participants: ['guest-1'] },
      { id: 12, type: 'mute-all', source: 'camera' },
      { id: 13, type: 'mute-all', source: 'screen', except: ['guest-1'] },
      { id: 14, type: 'ask-to-unmute', source: 'microphone', participants: ['guest-1'] },
      { id: 15, type: 'set-role', participant: 'guest-1', role: 'listener' },
      { id: 16, type: 'spotlight', participants: ['guest-1', 'host-1'] },
      { id: 17, type: 'lower-hands' },
      { id: 18, type: 'lower-hands', participants: ['guest-1'] },
      { id: 19, type: 'order-seats', participants: ['guest-1', 'host-1'] },
      { id: 20, type: 'remove', participant: 'guest-1' },
      { id: 21, type: 'remove', participant: 'guest-1', ban: true },
      { id: 22, type: 'admit', participants: ['guest-1'] },
      { id: 23, type: 'decline', participants: ['guest-1'] },
      { id: 24, type: 'tell-waiting', participant: 'guest-1', line: 'One moment.' },
      { id: 25, type: 'change-room', set: { locked: true } },
      {
        id: 26,
        type: 'change-room',
        set: {
          question: 'How are you?',
          locked: false,
          lobby: 'guests',
          capacity: 20,
          text: 'hosts',
          history: 'days',
          historyDays: 30,
          hands: 'least-spoken-first',
          microphones: 'held',
          screens: 'hosts',
          handOver: { rule: 'close', minutes: 5 },
          moderationShown: false,
          countShown: false,
          encryption: true,
          agreement: ['What is said here stays here.'],
        },
      },
      { id: 27, type: 'end' },
    ];
    expect(commands).toEqual(golden('commands.json'));
  });
});

describe('a pass', () => {
  it('says which circle and until when', () => {
    const payload = Buffer.from('{"exp":1700000000,"sub":"guest-1","video":{"room":"r 1","roomJoin":true}}').toString('base64url');
    expect(readPass(`h.${payload}.s`)).toEqual({
      token: `h.${payload}.s`,
      identity: 'guest-1',
      room: 'r 1',
      circle: '/api/rooms/r%201/circle',
      expires: 1_700_000_000_000,
    });
    for (const token of ['', 'a.b.c', 'a..c', 'x', `h.${Buffer.from('{}').toString('base64url')}.s`]) {
      expect(readPass(token)).toBeNull();
    }
  });
});

/** A line whose other end is the test. */
class FakeWire {
  onopen: Wire['onopen'] = null;
  onmessage: Wire['onmessage'] = null;
  onclose: Wire['onclose'] = null;
  readonly sent: Request[] = [];
  closed = false;
  constructor(readonly address: URL) {}
  send(frame: string): void {
    this.sent.push(JSON.parse(frame) as Request);
  }
  close(): void {
    this.closed = true;
  }
  opens(): void {
    this.onopen?.call(this as unknown as WebSocket, {} as Event);
  }
  says(message: object): void {
    this.onmessage?.call(this as unknown as WebSocket, { data: JSON.stringify(message) } as MessageEvent);
  }
  falls(): void {
    this.onclose?.call(this as unknown as WebSocket, {} as CloseEvent);
  }
}

const state = (revision: number): object => ({
  ...(golden('meeting.json') as readonly { readonly message: object }[])[0]?.message,
  revision,
});
const hand: Command = { type: 'raise-hand' };

function socketOn(): { socket: CircleSocket; wires: FakeWire[]; told: Message[]; lines: boolean[]; renewed: () => number } {
  const wires: FakeWire[] = [];
  const told: Message[] = [];
  const lines: boolean[] = [];
  let renewals = 0;
  const socket = new CircleSocket({
    address: () => 'ws://enza.example/api/rooms/r/circle?access_token=t',
    open: (address) => {
      const wire = new FakeWire(new URL(address));
      wires.push(wire);
      return wire;
    },
    tell: (message) => told.push(message),
    line: (stands) => lines.push(stands),
    renew: () => {
      renewals += 1;
      return Promise.resolve(renewals < 2);
    },
    delay: (tried) => 100 * 2 ** tried,
  });
  return { socket, wires, told, lines, renewed: () => renewals };
}

describe('the circle socket', () => {
  it('sends commands once the circle spoke, and gives each its answer', async () => {
    const { socket, wires } = socketOn();
    const first = socket.send(hand);
    const second = socket.send({ type: 'end' });
    wires[0]?.opens();
    expect(wires[0]?.sent).toEqual([]);
    wires[0]?.says(state(5));
    expect(wires[0]?.sent).toEqual([
      { id: 1, type: 'raise-hand' },
      { id: 2, type: 'end' },
    ]);
    wires[0]?.says({ type: 'refused', id: 2, code: 'not-allowed', message: '' });
    wires[0]?.says({ type: 'ok', id: 1, revision: 6 });
    expect(await first).toEqual({ kind: 'ok' });
    expect(await second).toEqual({ kind: 'refused', code: 'not-allowed' });
    socket.close();
  });

  it('comes back by itself from where it had read, and never sends a command twice', async () => {
    vi.useFakeTimers();
    const { socket, wires, lines } = socketOn();
    wires[0]?.opens();
    wires[0]?.says(state(5));
    wires[0]?.says({ type: 'spotlight', revision: 9, participants: [] });
    const unsure = socket.send(hand);
    wires[0]?.falls();
    expect(await unsure).toEqual({ kind: 'lost' });
    const later = socket.send({ type: 'lower-hand' });
    await vi.advanceTimersByTimeAsync(100);
    expect(wires[1]?.address.searchParams.get('epoch')).toBe('e1');
    expect(wires[1]?.address.searchParams.get('revision')).toBe('9');
    wires[1]?.opens();
    wires[1]?.says({ type: 'caught-up', revision: 9 });
    expect(wires[1]?.sent.map(({ type }) => type)).toEqual(['lower-hand']);
    wires[1]?.says({ type: 'ok', id: 2, revision: 10 });
    expect(await later).toEqual({ kind: 'ok' });
    expect(lines).toEqual([true, false, true]);
    socket.close();
    vi.useRealTimers();
  });

  it('takes a command without an answer for a dead line', async () => {
    vi.useFakeTimers();
    const { socket, wires } = socketOn();
    wires[0]?.opens();
    wires[0]?.says(state(5));
    const lost = socket.send(hand);
    await vi.advanceTimersByTimeAsync(10_100);
    expect(await lost).toEqual({ kind: 'lost' });
    expect(wires).toHaveLength(2);
    expect(wires[0]?.closed).toBe(true);
    socket.close();
    vi.useRealTimers();
  });

  it('asks for another token after two lines that were not opened, waiting longer each time, and stops at a no', async () => {
    vi.useFakeTimers();
    const { wires, renewed } = socketOn();
    for (const [tried, renewals] of [0, 1, 1, 2].entries()) {
      wires.at(-1)?.falls();
      await vi.advanceTimersByTimeAsync(100 * 2 ** tried);
      expect(renewed()).toBe(renewals);
    }
    expect(wires).toHaveLength(4);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(wires).toHaveLength(4);
    vi.useRealTimers();
  });

  it('stays away after a word that is final, and says it', async () => {
    vi.useFakeTimers();
    for (const last of [
      { type: 'elsewhere' },
      { type: 'removed', revision: 7, banned: true },
      { type: 'ended', revision: 7 },
      { type: 'refused', code: 'locked', message: '' },
    ]) {
      const { wires, told } = socketOn();
      wires[0]?.opens();
      wires[0]?.says(last);
      await vi.advanceTimersByTimeAsync(60_000);
      expect(wires).toHaveLength(1);
      expect(told.at(-1)).toEqual(last);
    }
    vi.useRealTimers();
  });

  it('keeps a bounded number of commands', async () => {
    const { socket } = socketOn();
    const answers = Array.from({ length: 33 }, () => socket.send(hand));
    expect(await answers.at(-1)).toEqual({ kind: 'lost' });
    socket.close();
    expect(await answers[0]).toEqual({ kind: 'lost' });
  });
});
