import { describe, expect, it } from 'vitest';
import type { Looked } from '../src/outside/findings';
import { findingsOf, natOf, situationOf, summaryOf } from '../src/outside/findings';
import { reportOf, textOf, wordIn } from '../src/outside/report';
import type { Trial } from '../src/outside/ways';
import { only } from '../src/outside/ways';
import { en } from '../src/strings/outside/en';
import { ja } from '../src/strings/outside/ja';
import { fill } from '../src/strings/catalogue';

const open: Trial = { way: 'open', roundTrip: 21 };
const closed: Trial = { way: 'closed' };
const device = { there: true, permission: 'prompt' } as const;
const outside = '203.0.113.2:4000';

const good: Looked = {
  able: true, secure: true, https: true, local: false, port: 443, http: 'h2', contact: 'line', made: 'domain',
  privateOnly: false, roundTrip: 30, ahead: 120, udp: open, tcp: open, relay: open,
  seen: { mapped: [outside], second: { udp: [outside], tcp: true } }, microphone: device, camera: device,
};
const symmetric = { mapped: [outside, '203.0.113.2:4001'], second: { udp: ['203.0.113.2:4001'], tcp: true } };
const walled = { mapped: [], second: { udp: [], tcp: false } };

describe('the situation', () => {
  it.each<[string, Partial<Looked>]>([
    ['open', {}],
    ['open', { seen: null }],
    ['symmetric-nat', { seen: symmetric }],
    ['no-udp', { udp: closed, seen: { mapped: [], second: { udp: [], tcp: true } } }],
    ['only-port', { udp: closed, seen: walled }],
    ['only-port', { udp: closed, seen: null }],
    ['only-tls', { udp: closed, tcp: closed, seen: walled }],
    ['nothing', { udp: closed, tcp: closed, relay: closed }],
    ['some', { tcp: closed }],
    ['some', { relay: closed }],
    ['certificate', { relay: closed, made: 'own' }],
    ['open', { made: 'own' }],
    ['open', { relay: { way: 'absent' } }],
    ['this-computer', { local: true, https: false, tcp: { way: 'absent' }, relay: { way: 'absent' } }],
    ['no-line', { contact: 'none' }],
    ['busy', { contact: 'busy' }],
    ['not-secure', { secure: false, https: false }],
    ['old-browser', { able: false }],
  ])('is %s', (situation, changed) => {
    expect(situationOf({ ...good, ...changed })).toBe(situation);
  });

  it('has a sentence and a line for each thing, and a next step wherever something is wrong', () => {
    const cases: Partial<Looked>[] = [
      {}, { seen: symmetric }, { udp: closed }, { udp: closed, tcp: closed }, { udp: closed, tcp: closed, relay: closed, privateOnly: true },
      { contact: 'none' }, { contact: 'busy' }, { secure: false, https: false }, { able: false, contact: 'none' }, { ahead: 90_000 }, { ahead: -90_000 },
      { udp: { way: 'open', roundTrip: 400 } }, { relay: closed, made: 'own' }, { relay: { way: 'absent' } },
      { microphone: { there: false, permission: 'unknown' }, camera: { there: true, permission: 'denied' } },
    ];
    for (const changed of cases) {
      const looked = { ...good, ...changed };
      for (const catalogue of [en, ja]) {
        const report = reportOf(situationOf(looked), summaryOf(looked), findingsOf(looked), ({ key, slots }) => fill(catalogue[key], slots));
        expect(report.summary).not.toMatch(/[{}]|undefined/);
        for (const line of report.lines) {
          expect(line.what + (line.do ?? '')).not.toMatch(/[{}]|undefined/);
          if (line.verdict === 'bad' || line.verdict === 'warn') expect(line.do, line.what).not.toBeNull();
          // What the server takes, and prints on a terminal.
          expect(line.check).toMatch(/^[a-z-]{1,32}$/);
          expect(Math.max(line.what.length, line.do?.length ?? 0)).toBeLessThan(400);
        }
        expect(new Set(report.lines.map(({ check }) => check)).size).toBe(report.lines.length);
      }
    }
  });
});

describe('what is found', () => {
  it('accuses no line that an old browser did not try', () => {
    const found = findingsOf({ ...good, able: false, contact: 'none' }).map(({ check }) => check);
    expect(found).toEqual(['browser', 'certificate', 'http', 'microphone', 'camera']);
  });
});

describe('the kind of NAT', () => {
  it('is told by what two ports see of one socket', () => {
    expect(natOf(null)).toBe('unknown');
    expect(natOf(walled)).toBe('unknown');
    expect(natOf({ mapped: [], second: { udp: [outside], tcp: true } })).toBe('none');
    expect(natOf({ mapped: [outside], second: { udp: [outside], tcp: true } })).toBe('same');
    expect(natOf(symmetric)).toBe('symmetric');
    // A browser that names only what the first port saw.
    expect(natOf({ mapped: [outside], second: { udp: ['203.0.113.2:4001'], tcp: true } })).toBe('symmetric');
    expect(natOf({ mapped: [outside], second: { udp: ['[2001:db8::1]:4001'], tcp: true } })).toBe('unknown');
  });
});

describe('the report', () => {
  it('holds no address unless somebody adds it', () => {
    const report = reportOf('open', summaryOf(good), findingsOf({ ...good, seen: symmetric }), ({ key, slots }) => fill(en[key], slots));
    expect(textOf(report, (rating) => rating, 'about', [])).not.toMatch(/203\.0\.113/);
    expect(textOf(report, (rating) => rating, 'about', [outside])).toContain(outside);
    expect(textOf(report, (rating) => rating, 'about', [])).toContain('(open)\n[ok] ');
  });

  it('is told under a word of the right form alone', () => {
    expect(wordIn(`#${'a'.repeat(22)}`)).toBe('a'.repeat(22));
    for (const other of ['', '#', '#short', `#${'a'.repeat(23)}`, `#${'a'.repeat(21)}/`]) expect(wordIn(other)).toBeNull();
  });
});

it('an answer is cut to one way', () => {
  const answer = ['v=0', 'a=candidate:1 1 udp 2 203.0.113.1 443 typ host', 'a=candidate:2 1 tcp 1 203.0.113.1 443 typ host tcptype passive', 'a=end-of-candidates', ''].join('\r\n');
  expect(only('udp', answer)).toEqual({ sdp: answer.replace(/a=candidate:2.*\r\n/, ''), count: 1 });
  expect(only('relay', answer).count).toBe(1);
  expect(only('tcp', answer)).toEqual({ sdp: answer.replace(/a=candidate:1.*\r\n/, ''), count: 1 });
  expect(only('tcp', 'v=0\r\n').count).toBe(0);
});
