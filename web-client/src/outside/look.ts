/**
 * Looks at the server from this browser: everything that is tried, at once where it can be. Owns no judgement.
 */

import { canTakePart, mayUseDevices } from '../media/support';
import type { Device, Looked, Permission } from './findings';
import { Line } from './line';
import type { Trial } from './ways';
import { lookFromTwoPorts, Patience, tryWay } from './ways';

/** How often the clock is asked; the quickest answer is the truest. */
const CLOCK_TRIES = 3;

export async function look(): Promise<Looked> {
  const absent: Trial = { way: 'absent' };
  const [opened, microphone, camera] = await Promise.all([
    canTakePart() ? Line.open(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/doctor/line`) : { kind: 'none' as const },
    deviceOf('audioinput', 'microphone'),
    deviceOf('videoinput', 'camera'),
  ]);
  const about = {
    able: canTakePart(),
    secure: window.isSecureContext,
    https: location.protocol === 'https:',
    local: /^(localhost|127\..*|\[::1\])$/.test(location.hostname),
    port: Number(location.port === '' ? (location.protocol === 'https:' ? 443 : 80) : location.port),
    http: httpVersion(),
    microphone,
    camera,
  };
  if (opened.kind !== 'line') {
    return {
      ...about, contact: opened.kind, made: '', privateOnly: false, roundTrip: null, ahead: null,
      udp: absent, tcp: absent, relay: absent, seen: null,
    };
  }
  const { line } = opened;
  const { made, privateOnly } = { made: line.hello.certificate, privateOnly: line.hello.private && line.hello.away };
  const clock = await askTheTime(line);
  const patience = new Patience();
  const [udp, tcp, relay, seen] = await Promise.all([
    tryWay('udp', line, patience), tryWay('tcp', line, patience), tryWay('relay', line, patience),
    about.local ? null : lookFromTwoPorts(line),
  ]);
  line.close();
  return { ...about, port: line.hello.port ?? about.port, contact: 'line', made, privateOnly, ...clock, udp, tcp, relay, seen };
}

async function askTheTime(line: Line): Promise<{ readonly roundTrip: number | null; readonly ahead: number | null }> {
  let best: { readonly roundTrip: number; readonly ahead: number } | null = null;
  for (let tried = 0; tried < CLOCK_TRIES; tried += 1) {
    const [asked, began] = [Date.now(), performance.now()];
    const said = await line.time();
    if (said === null) break;
    const took = performance.now() - began;
    if (best === null || took < best.roundTrip) best = { roundTrip: Math.round(took), ahead: Math.round(said - (asked + took / 2)) };
  }
  return best ?? { roundTrip: null, ahead: null };
}

/** How the page itself came. */
function httpVersion(): string | null {
  const [navigation] = performance.getEntriesByType('navigation');
  const version = navigation instanceof PerformanceNavigationTiming ? navigation.nextHopProtocol : '';
  return version === '' ? null : version;
}

/** Whether there is one and whether we may use it, without asking for it. */
async function deviceOf(kind: MediaDeviceKind, name: 'microphone' | 'camera'): Promise<Device> {
  if (!mayUseDevices()) return { there: null, permission: 'unknown' };
  const [devices, permission] = await Promise.all([
    navigator.mediaDevices.enumerateDevices().catch(() => null),
    permissionOf(name),
  ]);
  return { there: devices === null ? null : devices.some((device) => device.kind === kind), permission };
}

async function permissionOf(name: string): Promise<Permission> {
  try {
    // Not every browser knows these names; those that do not say so.
    return (await navigator.permissions.query({ name: name as PermissionName })).state;
  } catch {
    return 'unknown';
  }
}
