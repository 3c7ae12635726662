/**
 * The ways from this device to the media plane, each tried by a connection that really carries data: over UDP, over TCP, and by the
 * relay inside TLS. And what a second port of the server sees of us. Must never know what that means for anybody.
 */

import type { Line, Second } from './line';

/**
 * What is not open by then counts as closed: when no way is open yet, and the least and the most, in times what the first way took,
 * once one is. Lower: a far phone seems blocked; higher: people wait for nothing.
 */
const LONGEST_MS = 10_000;
const SHORTEST_MS = 4000;
const TIMES_THE_FIRST = 3;
/** How long is listened for what the two ports see. */
const SEEN_WITHIN_MS = 2500;

export type Way = 'udp' | 'tcp' | 'relay';

export type Trial =
  | { readonly way: 'open'; /** Milliseconds there and back, where the browser says so. */ readonly roundTrip: number | null }
  | { readonly way: 'closed' }
  /** The server offers no such way to this device. */
  | { readonly way: 'absent' };

const numbers: Readonly<Record<Way, number>> = { udp: 1, tcp: 2, relay: 3 };

/** The answer with candidates of one kind, and how many those are. */
export function only(way: Way, answer: string): { readonly sdp: string; readonly count: number } {
  const transport = way === 'tcp' ? 'tcp' : 'udp';
  let count = 0;
  const lines = answer.split('\r\n').filter((line) => {
    if (!line.startsWith('a=candidate:')) return true;
    // a=candidate:foundation component transport …
    const kept = line.split(' ')[2]?.toLowerCase() === transport;
    if (kept) count += 1;
    return kept;
  });
  return { sdp: lines.join('\r\n'), count };
}

/** How long all ways together are waited for. */
export class Patience {
  readonly over: Promise<void>;
  readonly #end: () => void;
  readonly #began = performance.now();

  constructor() {
    let end = (): void => undefined;
    this.over = new Promise((resolve) => {
      end = resolve;
    });
    this.#end = end;
    setTimeout(end, LONGEST_MS);
  }

  /** A way is open: those that are not blocked are not much slower. */
  opened(): void {
    const took = performance.now() - this.#began;
    setTimeout(this.#end, Math.max(SHORTEST_MS, TIMES_THE_FIRST * took) - took);
  }
}

/** Connects in one way alone, and closes again. */
export async function tryWay(way: Way, line: Line, patience: Patience): Promise<Trial> {
  const iceServers = way === 'relay' ? [...line.hello.iceServers] : [];
  if (way === 'relay' && iceServers.length === 0) return { way: 'absent' };
  const connection = connectionWith({ iceServers, iceTransportPolicy: way === 'relay' ? 'relay' : 'all' });
  if (connection === null) return { way: 'closed' };
  try {
    const channel = connection.createDataChannel('trial');
    const open = new Promise<boolean>((resolve) => {
      channel.onopen = () => {
        resolve(true);
      };
      void patience.over.then(() => {
        resolve(false);
      });
    });
    await connection.setLocalDescription();
    const answer = await line.offer(numbers[way], connection.localDescription?.sdp ?? '');
    if (answer === null) return { way: 'closed' };
    const { sdp, count } = only(way, answer);
    if (count === 0) return { way: 'absent' };
    await connection.setRemoteDescription({ type: 'answer', sdp });
    if (!(await open)) return { way: 'closed' };
    patience.opened();
    return { way: 'open', roundTrip: await roundTrip(connection) };
  } catch {
    return { way: 'closed' };
  } finally {
    connection.close();
  }
}

/** Null: the browser refuses, by a rule of its own or at an address that it does not understand. */
function connectionWith(configuration: RTCConfiguration): RTCPeerConnection | null {
  try {
    return new RTCPeerConnection(configuration);
  } catch {
    return null;
  }
}

async function roundTrip(connection: RTCPeerConnection): Promise<number | null> {
  const pairs: RTCIceCandidatePairStats[] = [];
  (await connection.getStats()).forEach((entry: RTCStats) => {
    if (entry.type === 'candidate-pair') pairs.push(entry as RTCIceCandidatePairStats);
  });
  const seconds = pairs.find((pair) => pair.nominated && pair.currentRoundTripTime !== undefined)?.currentRoundTripTime;
  return seconds === undefined ? null : Math.round(seconds * 1000);
}

export interface Seen {
  /** As whom the server's ports see us, IPv4. */
  readonly mapped: readonly string[];
  readonly second: Second;
}

/** What two ports of the server see of one socket of ours. Null: it has no second port now, or the line fell. */
export async function lookFromTwoPorts(line: Line): Promise<Seen | null> {
  const { stun, second: ports } = line.hello;
  if (ports === null || stun.length === 0) return null;
  const hosts = stun.map((address) => address.slice(0, address.lastIndexOf(':')));
  const connection = connectionWith({
    iceServers: [
      { urls: [...stun, ...hosts.map((host) => `${host}:${ports.udp}`)].map((address) => `stun:${address}`) },
      // Nobody answers there; that a connection comes is all that is looked for.
      { urls: hosts.map((host) => `turn:${host}:${ports.tcp}?transport=tcp`), username: '-', credential: '-' },
    ],
  });
  if (connection === null) return null;
  const mapped = new Set<string>();
  try {
    const over = new Promise<void>((resolve) => {
      setTimeout(resolve, SEEN_WITHIN_MS);
      connection.onicegatheringstatechange = () => {
        if (connection.iceGatheringState === 'complete') resolve();
      };
    });
    connection.onicecandidate = ({ candidate }) => {
      if (candidate?.type !== 'srflx' || !/^\d+(\.\d+){3}$/.test(candidate.address ?? '')) return;
      const address = `${candidate.address ?? ''}:${candidate.port ?? 0}`;
      if (!mapped.has(address)) line.reached(address);
      mapped.add(address);
    };
    connection.createDataChannel('seen');
    await connection.setLocalDescription();
    await over;
    const second = await line.second();
    return second === null ? null : { mapped: [...mapped], second };
  } catch {
    return null;
  } finally {
    connection.close();
  }
}
