/**
 * What a device saw of the server, and what that means: one sentence about the situation, and a line for each thing that was
 * looked at. Data and functions of data; must never know a browser.
 */

import type { OutsideKey } from '../strings/outside';
import type { Seen, Trial } from './ways';

/** Without a line to the server: nothing more can be tried. */
export type Contact = 'line' | 'busy' | 'none';
export type Permission = 'granted' | 'denied' | 'prompt' | 'unknown';
export interface Device {
  readonly there: boolean | null;
  readonly permission: Permission;
}

export interface Looked {
  /** The browser has what a call needs. */
  readonly able: boolean;
  readonly secure: boolean;
  readonly https: boolean;
  /** The page came from this very computer. */
  readonly local: boolean;
  /** Where sound and picture go; behind a proxy not the page's own. */
  readonly port: number;
  /** `h2`, `http/1.1`; null where the browser does not say. */
  readonly http: string | null;
  readonly contact: Contact;
  /** How the certificate came to be. */
  readonly made: string;
  readonly privateOnly: boolean;
  /** Milliseconds there and back, and how much the server's clock is ahead of ours. */
  readonly roundTrip: number | null;
  readonly ahead: number | null;
  readonly udp: Trial;
  readonly tcp: Trial;
  readonly relay: Trial;
  readonly seen: Seen | null;
  readonly microphone: Device;
  readonly camera: Device;
}

export type Situation =
  | 'open'
  | 'symmetric-nat'
  | 'some'
  | 'this-computer'
  | 'no-udp'
  | 'only-port'
  | 'only-tls'
  | 'certificate'
  | 'nothing'
  | 'no-line'
  | 'busy'
  | 'not-secure'
  | 'old-browser';

export type Rating = 'ok' | 'warn' | 'bad' | 'unknown';
export type Nat = 'none' | 'same' | 'symmetric' | 'unknown';
export interface Said {
  readonly key: OutsideKey;
  readonly slots: Readonly<Record<string, string | number>>;
}
export interface Finding {
  readonly check: string;
  readonly rating: Rating;
  readonly what: Said;
  readonly todo: Said | null;
}

/** A clock that is off by more makes links and tokens end at the wrong time. */
const CLOCK_OFF_MS = 30_000;
/** From here on people talk into each other's words. */
const FAR_MS = 300;

/** What the mappings of one socket say of the NAT in between. */
export function natOf(seen: Seen | null): Nat {
  if (seen === null) return 'unknown';
  const asked = seen.second.udp.filter((address) => /^\d+(\.\d+){3}:\d+$/.test(address));
  if (asked.length === 0) return 'unknown';
  // A browser names no mapped address that is its own.
  if (seen.mapped.length === 0) return 'none';
  return seen.mapped.every((address) => asked.includes(address)) ? 'same' : 'symmetric';
}

/** One that nobody trusts by itself, and what cannot pass a warning fails. No browser tells a page what it thinks of the certificate. */
const distrusted = (looked: Looked): boolean => looked.https && looked.made === 'own' && looked.relay.way === 'closed';

export function situationOf(looked: Looked): Situation {
  if (!looked.able) return 'old-browser';
  if (!looked.secure) return 'not-secure';
  if (looked.contact === 'busy') return 'busy';
  if (looked.contact === 'none') return 'no-line';
  const [udp, tcp, relay] = [looked.udp.way, looked.tcp.way, looked.relay.way];
  if (udp !== 'open' && tcp === 'open') return looked.seen?.second.tcp === true ? 'no-udp' : 'only-port';
  if (udp !== 'open') return relay === 'open' ? 'only-tls' : 'nothing';
  if (looked.local) return 'this-computer';
  if (distrusted(looked)) return 'certificate';
  if (tcp === 'closed' || relay === 'closed') return 'some';
  return natOf(looked.seen) === 'symmetric' ? 'symmetric-nat' : 'open';
}

export function summaryOf(looked: Looked): Said {
  return said(`out.is.${situationOf(looked)}`, { port: looked.port });
}

export function findingsOf(looked: Looked): readonly Finding[] {
  const findings: Finding[] = [
    looked.able ? finding('browser', 'ok', 'out.browser') : finding('browser', 'bad', 'out.browser.old', 'out.browser.old.do'),
    https(looked),
  ];
  if (looked.http !== null) findings.push(finding('http', 'ok', 'out.http', null, { version: looked.http }));
  // A browser that cannot take part tried nothing, which says nothing of the line.
  if (looked.able && looked.contact === 'line') {
    findings.push(finding('line', 'ok', 'out.line'), ...ways(looked), nat(looked), ...clocks(looked));
  } else if (looked.able && looked.contact === 'busy') findings.push(finding('line', 'unknown', 'out.line.busy', 'out.line.busy.do'));
  else if (looked.able) findings.push(finding('line', 'bad', 'out.line.none', 'out.line.none.do'));
  if (looked.secure) {
    findings.push(device('microphone', looked.microphone), device('camera', looked.camera));
  }
  return findings;
}

function https(looked: Looked): Finding {
  if (!looked.secure) return finding('https', 'bad', 'out.https.none', 'out.https.none.do');
  if (!looked.https) return finding('https', 'ok', 'out.https.local');
  if (distrusted(looked)) return finding('certificate', 'bad', 'out.certificate.refused', 'out.certificate.own.do');
  return finding('certificate', 'ok', looked.relay.way === 'open' ? 'out.certificate' : 'out.https');
}

function ways(looked: Looked): Finding[] {
  const { udp, tcp, relay, port } = looked;
  const away = looked.privateOnly && !looked.local;
  const closed = away ? 'out.private.do' : null;
  const found: Finding[] = [];
  if (udp.way === 'open') found.push(finding('udp', 'ok', 'out.udp', null, { port }));
  else if (tcp.way === 'open') found.push(finding('udp', 'warn', 'out.udp.closed', 'out.udp.closed.do', { port }));
  else found.push(finding('udp', relay.way === 'open' ? 'warn' : 'bad', 'out.udp.closed', closed ?? 'out.udp.closed.do', { port }));
  if (tcp.way === 'open') found.push(finding('tcp', 'ok', 'out.tcp', null, { port }));
  else if (tcp.way === 'absent') found.push(finding('tcp', 'ok', 'out.tcp.absent'));
  else {
    const rating = udp.way === 'open' || relay.way === 'open' ? 'warn' : 'bad';
    found.push(finding('tcp', rating, 'out.tcp.closed', closed ?? 'out.tcp.closed.do', { port }));
  }
  if (tcp.way === 'open' && udp.way !== 'open') {
    found.push(looked.seen?.second.tcp === true ? finding('ports', 'ok', 'out.ports') : finding('ports', 'unknown', 'out.ports.one', null, { port }));
  }
  if (relay.way === 'open') found.push(finding('relay', 'ok', 'out.relay'));
  else if (relay.way === 'absent') found.push(finding('relay', looked.local ? 'ok' : 'warn', 'out.relay.absent', looked.local ? null : 'out.relay.absent.do'));
  else {
    const rating = udp.way === 'open' || tcp.way === 'open' ? 'warn' : 'bad';
    found.push(finding('relay', rating, 'out.relay.closed', distrusted(looked) ? 'out.relay.certificate.do' : 'out.relay.closed.do'));
  }
  return found;
}

function nat(looked: Looked): Finding {
  if (looked.udp.way !== 'open') return finding('nat', 'unknown', 'out.nat.udp');
  const kind = looked.local ? 'none' : natOf(looked.seen);
  const keys = { none: 'out.nat.none', same: 'out.nat.same', symmetric: 'out.nat.symmetric', unknown: 'out.nat.unknown' } as const;
  return finding('nat', kind === 'unknown' ? 'unknown' : 'ok', keys[kind]);
}

function clocks(looked: Looked): Finding[] {
  const found: Finding[] = [];
  const trials = [looked.udp, looked.tcp, looked.relay].flatMap((trial) => (trial.way === 'open' && trial.roundTrip !== null ? [trial.roundTrip] : []));
  const ms = trials[0] ?? looked.roundTrip;
  if (ms !== null) {
    const far = ms >= FAR_MS;
    found.push(finding('distance', far ? 'warn' : 'ok', far ? 'out.far' : 'out.near', far ? 'out.far.do' : null, { ms }));
  }
  if (looked.ahead === null) return found;
  const off = Math.abs(looked.ahead) > CLOCK_OFF_MS;
  const seconds = Math.round(Math.abs(looked.ahead) / 1000);
  found.push(off ? finding('clock', 'warn', looked.ahead > 0 ? 'out.clock.ahead' : 'out.clock.behind', 'out.clock.do', { seconds }) : finding('clock', 'ok', 'out.clock'));
  return found;
}

function device(check: 'microphone' | 'camera', { there, permission }: Device): Finding {
  if (there === false) return finding(check, 'warn', `out.${check}.none`, `out.${check}.none.do`);
  if (permission === 'denied') return finding(check, 'warn', `out.${check}.denied`, 'out.denied.do');
  if (there === null) return finding(check, 'unknown', `out.${check}.unknown`);
  return finding(check, 'ok', permission === 'granted' ? `out.${check}.granted` : `out.${check}`);
}

function said(key: OutsideKey, slots: Said['slots'] = {}): Said {
  return { key, slots };
}

function finding(check: string, rating: Rating, what: OutsideKey, todo: OutsideKey | null = null, slots: Said['slots'] = {}): Finding {
  return { check, rating, what: said(what, slots), todo: todo === null ? null : said(todo, slots) };
}
