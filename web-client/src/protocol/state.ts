/** How the server is, for its operator. The answer of `/api/server/state`; times are milliseconds, amounts bytes. */

import type { Answer } from './http';
import { ask } from './http';
import type { Read } from './read';
import { flag, list, number, oneOf, orNull, record, recordWith, text } from './read';

const tally = record({ reason: text, count: number });
const said = recordWith({ what: text }, { do: orNull(text) });
const state = record({
  version: text,
  livekitVersion: text,
  now: number,
  begunAt: number,
  ready: flag,
  hasRoomForTen: flag,
  findings: list(record({ check: text, verdict: oneOf('warn', 'bad'), en: said, ja: said })),
  people: number,
  rooms: number,
  listed: list(record({ number, people: orNull(number), waiting: orNull(number) })),
  joins: record({ joined: number, refused: list(tally) }),
  media: record({
    peers: number,
    tracks: number,
    subscriptions: number,
    threads: list(record({ load: number, alive: flag })),
    gso: flag,
    expected: number,
    lost: number,
    dropped: number,
  }),
  pace: record({ seconds: number, processors: number, packetsIn: number, bytesIn: number, packetsOut: number, bytesOut: number }),
  machine: record({
    processors: number,
    memory: orNull(number),
    memoryFree: orNull(number),
    openFiles: orNull(number),
    openFilesMax: orNull(number),
    diskFree: orNull(number),
    disk: orNull(number),
  }),
  connections: record({ now: number, most: number, refused: list(tally) }),
  certificate: orNull(
    record({
      from: oneOf('authority', 'files', 'own'),
      names: list(text),
      beginsAt: orNull(number),
      endsAt: orNull(number),
      renewsAt: orNull(number),
    }),
  ),
  log: record({ warnings: number, errors: number }),
});

export type ServerState = Read<typeof state>;
export type Finding = ServerState['findings'][number];
export type CertificateState = NonNullable<ServerState['certificate']>;

export function readState(value: unknown): ServerState | null {
  try {
    return state(value);
  } catch {
    return null;
  }
}

export function askState(key: string, send: typeof fetch = fetch): Promise<Answer<ServerState>> {
  return ask({ method: 'GET', path: '/api/server/state', token: key }, readState, send);
}
