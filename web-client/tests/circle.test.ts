import { describe, expect, it } from 'vitest';
import { faultForRefusal, remedyFor } from '../src/circle/journey';
import { fragmentOf, holdsKey, keyOf, readFragment, readPastedLink, withKey } from '../src/circle/link';
import { TELL_FOR_MS } from '../src/circle/meeting';
import { NAME_MAX, checkName } from '../src/circle/name';
import type { Person } from '../src/circle/person';
import { markFor, marks, seated } from '../src/circle/person';
import { REJOIN_FOR_MS, rejoinDelay, resumeDelay } from '../src/circle/rejoin';
import type { RoomEvent, RoomState } from '../src/circle/room';
import {
  SAY_BACK_FOR_MS,
  SAY_RECONNECTING_AFTER_MS,
  SAY_STILL_LOST_AFTER_MS,
  banner,
  enterRoom,
  unsealed,
  nextTick,
  reduceRoom,
} from '../src/circle/room';
import { COME_STRAIGHT_BACK_MS, comesStraightBack, idsIn, readSession, sessionOf } from '../src/circle/session';
import { SILENT_AFTER_MS, SPEAKING_AFTER_MS, heard, isSpeaking, nextVoiceChange, settled, silence } from '../src/circle/voices';
import { refusalCodes } from '../src/protocol/http';

const person = (identity: string, joinedAt: number, more: Partial<Person> = {}): Person => ({
  identity,
  name: identity,
  me: false,
  host: false,
  mark: 'moon',
  joinedAt,
  microphone: false,
  video: null,
  resting: false,
  screen: null,
  weak: false,
  gone: false,
  unopened: false,
  role: 'speaker',
  hand: 0,
  held: [],
  textOnly: false,
  ...more,
});

const fresh = (): RoomState => enterRoom({ room: 'R', role: 'guest', name: 'N', mark: 'fern' }, 0);
const after = (...events: RoomEvent[]): RoomState => events.reduce(reduceRoom, fresh());

describe('seats', () => {
  it('are the same ring on every screen, each turned to its own person', () => {
    const everybody = ['a', 'b', 'c', 'd'];
    const seenBy = (me: string): string[] =>
      seated([], everybody.map((name, at) => person(name, at, { me: name === me })).reverse()).map((one) => one.identity);
    expect(seenBy('a')).toEqual(['a', 'b', 'c', 'd']);
    expect(seenBy('c')).toEqual(['c', 'd', 'a', 'b']);
  });

  it('of people who joined in the same second are ordered by identity', () => {
    expect(seated([], [person('z', 5), person('a', 5), person('m', 1, { me: true })]).map((one) => one.identity)).toEqual([
      'm',
      'a',
      'z',
    ]);
  });

  it('keep the object of everybody who did not change, and the list when nobody did', () => {
    const before = seated([], [person('a', 1, { me: true }), person('b', 2)]);
    expect(seated(before, [person('b', 2), person('a', 1, { me: true })])).toBe(before);
    const now = seated(before, [person('a', 1, { me: true }), person('b', 2, { microphone: true })]);
    expect(now[0]).toBe(before[0]);
    expect(now[1]).not.toBe(before[1]);
  });

  it('have a mark for everybody, the same each time', () => {
    expect(markFor('guest-1')).toBe(markFor('guest-1'));
    const used = new Set(Array.from({ length: 300 }, (_, n) => markFor(`guest-${n}`)));
    expect(used.size).toBe(marks.length);
  });
});

describe('speaking', () => {
  it('is shown after 200 ms of voice and no earlier', () => {
    const voices = heard(silence, ['a'], 1_000);
    expect(isSpeaking(voices, 'a')).toBe(false);
    expect(nextVoiceChange(voices)).toBe(1_000 + SPEAKING_AFTER_MS);
    expect(isSpeaking(settled(voices, 1_199), 'a')).toBe(false);
    expect(isSpeaking(settled(voices, 1_200), 'a')).toBe(true);
  });

  it('of a cough is never shown', () => {
    const voices = heard(heard(silence, ['a'], 0), [], 150);
    expect(voices.size).toBe(0);
  });

  it('stays through 800 ms of silence and is then gone', () => {
    const on = settled(heard(silence, ['a'], 0), SPEAKING_AFTER_MS);
    const pause = heard(on, [], 5_000);
    expect(isSpeaking(settled(pause, 5_000 + SILENT_AFTER_MS - 1), 'a')).toBe(true);
    expect(nextVoiceChange(pause)).toBe(5_000 + SILENT_AFTER_MS);
    const off = settled(pause, 5_000 + SILENT_AFTER_MS);
    expect(isSpeaking(off, 'a')).toBe(false);
    expect(nextVoiceChange(off)).toBeNull();
  });

  it('does not flicker between words, nor start its waiting again while it lasts', () => {
    let voices = settled(heard(silence, ['a'], 0), 300);
    voices = heard(voices, [], 1_000);
    voices = heard(voices, ['a'], 1_500);
    expect(isSpeaking(voices, 'a')).toBe(true);
    voices = heard(heard(silence, ['b'], 0), ['b'], 199);
    expect(isSpeaking(settled(voices, 200), 'b')).toBe(true);
  });
});

describe('the line', () => {
  it('says nothing about a gap under two seconds', () => {
    const lost = after({ type: 'live', at: 0 }, { type: 'resuming', at: 1_000 });
    expect(banner(lost)).toBe('none');
    expect(nextTick(lost)).toBe(1_000 + SAY_RECONNECTING_AFTER_MS);
    expect(banner(reduceRoom(lost, { type: 'live', at: 2_500 }))).toBe('none');
  });

  it('says reconnecting, then still lost, then that it is back for three seconds', () => {
    let room = after({ type: 'live', at: 0 }, { type: 'resuming', at: 0 }, { type: 'tick', at: SAY_RECONNECTING_AFTER_MS });
    expect(banner(room)).toBe('reconnecting');
    room = reduceRoom(room, { type: 'lost', at: 20_000 });
    expect(banner(room)).toBe('reconnecting');
    expect(nextTick(room)).toBe(SAY_STILL_LOST_AFTER_MS);
    room = reduceRoom(room, { type: 'tick', at: SAY_STILL_LOST_AFTER_MS });
    expect(banner(room)).toBe('still-lost');
    expect(nextTick(room)).toBeNull();
    room = reduceRoom(room, { type: 'live', at: 70_000 });
    expect(banner(room)).toBe('back');
    room = reduceRoom(room, { type: 'tick', at: 70_000 + SAY_BACK_FOR_MS });
    expect(banner(room)).toBe('none');
  });

  it('says that the line is weak only when no picture of anybody else gets through', () => {
    const people = (...resting: readonly boolean[]): RoomState =>
      after({ type: 'live', at: 0 }, {
        type: 'people',
        people: [
          person('me', 1, { me: true, video: 'own' }),
          ...resting.map((rests, seat) => person(`p${seat}`, 2 + seat, { video: `v${seat}`, resting: rests })),
          person('voice', 9),
        ],
      });
    expect(banner(people())).toBe('none');
    expect(banner(people(true, false))).toBe('none');
    expect(banner(people(true, true))).toBe('weak');
    expect(banner(reduceRoom(people(true, true), { type: 'resuming', at: 5_000 }))).toBe('none');
  });

  it('never opens a device by itself: losing and finding the line changes neither', () => {
    const before = after(
      { type: 'live', at: 0 },
      { type: 'device', kind: 'microphone', device: { at: 'off' } },
      { type: 'device', kind: 'camera', device: { at: 'on' } },
    );
    const events: RoomEvent[] = [
      { type: 'resuming', at: 1 },
      { type: 'lost', at: 2 },
      { type: 'tick', at: 9_000 },
      { type: 'live', at: 9_001 },
    ];
    const later = events.reduce(reduceRoom, before);
    expect(later.microphone).toEqual({ at: 'off' });
    expect(later.camera).toEqual({ at: 'on' });
  });

  it('lost leaves everybody in their seats, without picture, until it is back', () => {
    const me = person('me', 1, { me: true, video: 'v' });
    const seats = (state: RoomState): (string | null)[][] => state.people.map((one) => [one.identity, one.video]);
    let room = after({ type: 'live', at: 0 }, { type: 'people', people: [me, person('a', 2, { video: 'v' }), person('b', 3)] });
    room = reduceRoom(room, { type: 'resuming', at: 10 });
    expect(seats(reduceRoom(room, { type: 'people', people: [me] }))).toEqual([['me', 'v'], ['a', null], ['b', null]]);
    room = reduceRoom(room, { type: 'lost', at: 20 });
    expect(seats(room)).toEqual([['me', 'v'], ['a', null], ['b', null]]);
    room = reduceRoom(room, { type: 'live', at: 30 });
    room = reduceRoom(room, { type: 'people', people: [me, person('b', 3)] });
    expect(seats(room)).toEqual([['me', 'v'], ['b', null]]);
  });

  it('being lost silences every ring', () => {
    const room = after({ type: 'live', at: 0 }, { type: 'voices', identities: ['a'], at: 0 }, { type: 'tick', at: 500 });
    expect(isSpeaking(room.voices, 'a')).toBe(true);
    expect(isSpeaking(reduceRoom(room, { type: 'lost', at: 600 }).voices, 'a')).toBe(false);
  });
});

describe('encryption', () => {
  it('is had only with a key and a browser that can; a room that does not ask for it needs neither', () => {
    expect(unsealed(false, null, false)).toBeNull();
    expect(unsealed(true, null, true)).toBe('no-key');
    expect(unsealed(true, 'k', false)).toBe('no-cipher');
    expect(unsealed(true, 'k', true)).toBeNull();
  });
});

describe('our devices', () => {
  it('closed by a host say so for a while, until our own next press, until it is put away or asked for', () => {
    const open = after({ type: 'device', kind: 'microphone', device: { at: 'on' } });
    const closed = reduceRoom(open, { type: 'closed-by-host', kind: 'microphone', at: 100 });
    expect(closed.microphone).toEqual({ at: 'off' });
    expect(closed.closedByHost).toBe('microphone');
    expect(reduceRoom(closed, { type: 'device', kind: 'microphone', device: { at: 'on' } }).closedByHost).toBeNull();
    expect(reduceRoom(closed, { type: 'device', kind: 'microphone', device: { at: 'opening' } }).closedByHost).toBeNull();
    expect(nextTick(closed)).toBe(100 + TELL_FOR_MS);
    expect(reduceRoom(closed, { type: 'tick', at: 99 + TELL_FOR_MS }).closedByHost).toBe('microphone');
    expect(reduceRoom(closed, { type: 'tick', at: 100 + TELL_FOR_MS }).closedByHost).toBeNull();
    const asked = (source: 'microphone' | 'camera') =>
      reduceRoom(closed, { type: 'circle', message: { type: 'asked-to-unmute', revision: 2, source }, at: 101 });
    expect(asked('microphone').closedByHost).toBeNull();
    expect(asked('camera').closedByHost).toBe('microphone');
    expect(reduceRoom(closed, { type: 'dismiss', kind: 'microphone' }).closedByHost).toBeNull();
    expect(reduceRoom(closed, { type: 'device', kind: 'camera', device: { at: 'on' } }).closedByHost).toBe('microphone');
  });

  it('put away as faults are off, open ones are not touched', () => {
    const faulty = after({ type: 'device', kind: 'camera', device: { at: 'fault', why: 'busy' } });
    expect(reduceRoom(faulty, { type: 'dismiss', kind: 'camera' }).camera).toEqual({ at: 'off' });
    const open = after({ type: 'device', kind: 'camera', device: { at: 'on' } });
    expect(reduceRoom(open, { type: 'dismiss', kind: 'camera' }).camera).toEqual({ at: 'on' });
  });
});

describe('rejoining', () => {
  it('livekit-client tries ten times within half a minute or so, then hands over', () => {
    const delays = Array.from({ length: 10 }, (_, tried) => resumeDelay(tried, 0.999) ?? NaN);
    expect(delays[0]).toBeLessThan(500);
    expect(delays.reduce((sum, delay) => sum + delay, 0)).toBeLessThan(45_000);
    expect(resumeDelay(10, 0)).toBeNull();
  });

  it('the page waits longer each time, never longer than 13 s, and is spread', () => {
    expect(rejoinDelay(0, 0.5)).toBe(500);
    expect(rejoinDelay(2, 0.5)).toBe(2_000);
    for (let tried = 0; tried < 200; tried += 1) {
      expect(rejoinDelay(tried, 0)).toBeGreaterThan(0);
      expect(rejoinDelay(tried, 0.999)).toBeLessThanOrEqual(13_000);
    }
    expect(rejoinDelay(5, 0)).toBeLessThan(rejoinDelay(5, 0.9));
    expect(REJOIN_FOR_MS).toBeGreaterThan(10 * 60_000);
  });
});

describe('the session of a tab', () => {
  const session = {
    room: 'Thursday',
    invite: 'abc',
    name: 'こもれび',
    mark: 'fern',
    microphone: true,
    camera: false,
    microphoneId: 'm',
    cameraId: null,
    speakerId: null,
    token: 'a.b.c',
    way: 'full',
    agreed: 2,
    entered: true,
    seenAt: 1_000,
  } as const;

  it('survives being written and read', () => {
    expect(readSession(JSON.stringify(session))).toEqual(session);
  });

  it('is nothing when it is not ours', () => {
    for (const text of [null, '', '{', '[]', 'null', '{"invite":1}', JSON.stringify({ ...session, mark: 'dragon' })]) {
      expect(readSession(text)).toBeNull();
    }
  });

  it('remembers what is open now, whatever an earlier session held', () => {
    const ticket = {
      invite: 'abc',
      room: 'R',
      role: 'guest',
      name: 'N',
      mark: 'fern',
      agreement: null,
      agreed: 2,
      lobby: false,
    historyDays: null,
    encryption: null,
    counted: false,
      passphrase: null,
      remembered: false,
      key: null,
    } as const;
    const stay = { token: 'a.b.c', way: 'listen' } as const;
    const before = { ...session, microphone: true, camera: true };
    const off = sessionOf(ticket, { microphone: { at: 'off' }, camera: { at: 'fault', why: 'denied' } }, before, stay, 5);
    expect([off.microphone, off.camera, off.microphoneId]).toEqual([false, false, 'm']);
    const on = sessionOf(ticket, { microphone: { at: 'opening' }, camera: { at: 'on' } }, idsIn(before), stay, 5);
    expect([on.microphone, on.camera]).toEqual([true, true]);
    expect([on.token, on.way, on.agreed]).toEqual(['a.b.c', 'listen', 2]);
    expect(Object.keys(idsIn(before))).toEqual(['microphoneId', 'cameraId', 'speakerId']);
  });

  it('opens no device that was not open', () => {
    const read = readSession(JSON.stringify({ ...session, microphone: 'yes', camera: 1 }));
    expect(read?.microphone).toBe(false);
    expect(read?.camera).toBe(false);
  });

  it('comes straight back after a reload, not the next day, not to another room, not after leaving', () => {
    expect(comesStraightBack(session, 'abc', 2_000)).toBe(true);
    expect(comesStraightBack(session, 'abc', 1_001 + COME_STRAIGHT_BACK_MS)).toBe(false);
    expect(comesStraightBack(session, 'other', 2_000)).toBe(false);
    expect(comesStraightBack({ ...session, entered: false }, 'abc', 2_000)).toBe(false);
    expect(comesStraightBack(session, 'abc', 0)).toBe(false);
  });
});

describe('links', () => {
  const here = 'https://enza.example';

  it('are found in what people paste', () => {
    for (const text of [
      'https://enza.example/join#AbC_12-34xyz',
      '  <https://enza.example/join#AbC_12-34xyz> ',
      'こちらからどうぞ：https://enza.example/join#AbC_12-34xyz よろしく',
      'AbC_12-34xyz',
      '#AbC_12-34xyz',
      '/join#AbC_12-34xyz',
    ]) {
      expect(readPastedLink(text, here)).toEqual({ kind: 'invite', invite: 'AbC_12-34xyz', key: null });
    }
  });

  it('to another server lead there, links to anything else lead nowhere', () => {
    expect(readPastedLink('https://other.example:7880/join#abcdefgh1', here)).toEqual({
      kind: 'elsewhere',
      address: 'https://other.example:7880/join#abcdefgh1',
    });
    for (const text of ['', 'こんにちは', 'https://enza.example/', 'https://enza.example/join', 'https://other.example/x#abcdefgh', 'javascript:alert(1)', 'short']) {
      expect(readPastedLink(text, here)).toEqual({ kind: 'none' });
    }
  });

  it('with a broken or huge fragment hold no invite', () => {
    for (const fragment of ['', '#', '#a b', '#<script>', `#${'a'.repeat(513)}`]) {
      expect(readFragment(fragment)).toBeNull();
    }
    expect(readFragment('#abc-DEF_1.2~')).toEqual({ invite: 'abc-DEF_1.2~', key: null });
  });

  it('carry the key of sound and picture, whole or not at all', () => {
    const key = keyOf(new Uint8Array(32).fill(251));
    expect(key).toMatch(/^[\w-]{43}$/);
    const whole = { invite: 'AbC_12-34xyz', key };
    expect(readFragment(fragmentOf(whole))).toEqual(whole);
    expect(readFragment(`#AbC_12-34xyz&k=${key.slice(1)}`)).toEqual({ invite: 'AbC_12-34xyz', key: null });
    expect(withKey('https://enza.example/join#AbC_12-34xyz', key)).toBe(`https://enza.example/join${fragmentOf(whole)}`);
    expect(withKey('https://enza.example/join#AbC_12-34xyz', null)).toBe('https://enza.example/join#AbC_12-34xyz');
    expect(readPastedLink(`<https://enza.example/join${fragmentOf(whole)}>`, here)).toEqual({ kind: 'invite', ...whole });
  });
});

describe('the key of a link', () => {
  it('is found in what would be sent through the server, and nothing else is', () => {
    const key = keyOf(new Uint8Array(32).fill(7));
    const link = withKey('https://enza.example/join#AbC_12-34xyz', key);
    expect(link).toContain(key);
    expect(holdsKey(`Come in: ${link}`)).toBe(true);
    for (const text of ['https://enza.example/join#AbC_12-34xyz', '&k=short', `k=${key}`, '']) expect(holdsKey(text)).toBe(false);
  });
});

describe('names', () => {
  it('are trimmed and counted in letters, as the server does', () => {
    expect(checkName('  はるみ ')).toEqual({ name: 'はるみ' });
    expect(checkName('🌾'.repeat(NAME_MAX))).toEqual({ name: '🌾'.repeat(NAME_MAX) });
    expect(checkName('🌾'.repeat(NAME_MAX + 1))).toEqual({ problem: 'too-long' });
    expect(checkName(' \u3000 ')).toEqual({ problem: 'missing' });
    expect(checkName('a\u0007b')).toEqual({ problem: 'odd' });
  });
});

describe('faults', () => {
  it('exist for every refusal, but for those said beside the name', () => {
    const silent = refusalCodes.filter((code) => faultForRefusal(code, 'why') === null);
    expect(silent).toEqual(['name-missing', 'name-too-long', 'passphrase-needed', 'passphrase-wrong']);
  });

  it('lead somewhere unless the browser itself is the fault', () => {
    expect(remedyFor('old')).toBe('none');
    expect(remedyFor('twice')).toBe('move-here');
    expect(remedyFor('blocked')).toBe('retry');
    expect(remedyFor('removed')).toBe('home');
  });
});
