import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { shortens } from '../src/circle/history';
import { withLinks } from '../src/circle/links';
import type { MeetingEvent } from '../src/circle/meeting';
import { TELL_FOR_MS, firstMeeting, iModerate, knocking, reduceMeeting, unread } from '../src/circle/meeting';
import type { Present } from '../src/circle/person';
import type { RoomEvent, RoomState } from '../src/circle/room';
import { SHOW_REACTION_MS } from '../src/circle/reactions';
import { movedSeat } from '../src/circle/ring';
import { enterRoom, nextTick, reduceRoom } from '../src/circle/room';
import type { Table } from '../src/circle/table';
import { handOf, hear, mayWrite, moderates, myRole, reaches } from '../src/circle/table';
import type { Message, Said } from '../src/protocol/circle';
import { readMessage } from '../src/protocol/circle';
import { NAMED_AT_ONCE, arrivalsIn, sayArrivals, sayFew } from '../src/view/announce';
import { wordsOf } from '../src/strings';
import { en } from '../src/strings/en';

const golden = JSON.parse(
  readFileSync(new URL('../../server/circle/tests/golden/meeting.json', import.meta.url), 'utf8'),
) as readonly { readonly message: object; readonly to: readonly number[] }[];

/** What one connection of the golden meeting hears, up to a message of its own that `until` knows. */
function heardBy(connection: number): readonly Message[] {
  return golden
    .filter(({ to }) => to.includes(connection))
    .flatMap(({ message }) => readMessage(JSON.stringify(message)) ?? []);
}
const tableAfter = (messages: readonly Message[]): Table | null => messages.reduce<Table | null>(hear, null);

describe('the table of the golden meeting', () => {
  it('is nothing before a state came', () => {
    expect(tableAfter(heardBy(2).slice(0, 3))).toBeNull();
  });

  it('follows events to what a fresh state says', () => {
    // Connection 4 sees the others come and go until connection 5 opens with a state of the same moment.
    const watched = heardBy(4);
    const table = tableAfter(watched.slice(0, watched.findIndex(({ type }) => type === 'ended')));
    const fresh = heardBy(5)[0] as Said<'state'>;
    expect(table?.seats).toEqual(fresh.seats);
    expect([...(table?.participants.values() ?? [])]).toEqual(fresh.participants);
    expect(table?.hands).toEqual(fresh.hands);
    expect(table?.spotlight).toEqual([]);
    expect(table?.closesAt).toBeNull();
  });

  it('knows who waits, only for those who can open', () => {
    const host = heardBy(1);
    const knocked = host.findIndex(({ type }) => type === 'knocked');
    expect(tableAfter(host.slice(0, knocked + 1))?.lobby?.map(({ name }) => name)).toEqual(['ANN']);
    expect(tableAfter(host.slice(0, knocked + 4))?.lobby).toEqual([]);
    expect(tableAfter(heardBy(4))?.lobby).toBeNull();
  });
});

const state = (more: Partial<Said<'state'>> = {}): Said<'state'> => ({
  type: 'state',
  epoch: 'e',
  revision: 1,
  you: 'b',
  away: false,
  settings: (heardBy(1)[0] as Said<'state'>).settings,
  participants: ['a', 'b', 'c'].map((participant) => ({
    participant,
    name: participant.toUpperCase(),
    role: participant === 'a' ? 'host' : 'speaker',
    joinedAt: 0,
    connected: true,
    media: true,
    held: [],
  })),
  seats: ['a', 'b', 'c'],
  hands: [],
  spotlight: [],
  texts: [],
  ...more,
});
const text = (number: number, from: string): Said<'text'> => ({
  type: 'text',
  revision: number,
  text: { text: number, from, name: from, to: 'everyone', body: '.', at: 0 },
});
const meetingAfter = (...events: MeetingEvent[]): ReturnType<typeof reduceMeeting> =>
  events.reduce(reduceMeeting, firstMeeting);
const said = (message: Message, at = 0): MeetingEvent => ({ type: 'circle', message, at });

describe('the meeting', () => {
  it('counts what others wrote since we came and did not see', () => {
    const old = state({ texts: [text(1, 'a').text] });
    const meeting = meetingAfter(said(old), said(text(2, 'a')), said(text(3, 'b')), said(text(4, 'c')));
    expect(unread(meeting)).toBe(2);
    const opened = reduceMeeting(meeting, { type: 'panel', panel: 'text' });
    expect(unread(reduceMeeting(opened, said(text(5, 'a'))))).toBe(0);
    const shut = reduceMeeting(opened, { type: 'panel', panel: 'none' });
    expect(unread(reduceMeeting(shut, said(text(5, 'a'))))).toBe(1);
  });

  it('keeps panel, draft and what was read when the line comes back with a whole state', () => {
    const meeting = meetingAfter(
      said(state()),
      { type: 'panel', panel: 'text', to: 'hosts' },
      { type: 'draft', body: 'half a' },
      { type: 'circle-line', stands: false },
      said(state({ texts: [text(1, 'a').text] })),
    );
    expect(meeting).toMatchObject({ panel: 'text', to: 'hosts', draft: 'half a', readUpTo: 1 });
  });

  it('asks politely, once, and forgets it when a host shuts the microphone again', () => {
    const asked = meetingAfter(said(state()), said({ type: 'asked-to-unmute', revision: 2, source: 'microphone' }));
    expect(asked.asked).toBe('microphone');
    expect(reduceMeeting(asked, { type: 'answered' }).asked).toBeNull();
    expect(reduceMeeting(asked, said({ type: 'muted', revision: 3, source: 'microphone' })).asked).toBeNull();
  });

  it('tells what hosts did to others, not what we did and not what was done to us', () => {
    const mute = (by: string, participants: readonly string[]): Said<'moderation'> => ({
      type: 'moderation',
      revision: 2,
      by,
      deed: 'mute',
      source: 'microphone',
      participants,
    });
    expect(meetingAfter(said(state()), said(mute('a', ['c']), 5)).told).toEqual({
      kind: 'deed',
      by: 'A',
      deed: 'mute',
      source: 'microphone',
      names: ['C'],
    });
    expect(meetingAfter(said(state()), said(mute('', ['c']), 5)).told).toMatchObject({ kind: 'deed', by: null });
    expect(meetingAfter(said(state()), said(mute('b', ['c']))).told).toBeNull();
    expect(meetingAfter(said(state()), said(mute('a', ['b']))).told).toBeNull();
  });

  it('covers the screen at once and takes the server’s word when it comes', () => {
    const away = meetingAfter(said(state()), { type: 'stepped-away', away: true });
    expect(away.away).toBe(true);
    expect(reduceMeeting(away, said({ type: 'away', revision: 2, away: false })).away).toBe(false);
    expect(meetingAfter(said(state({ away: true }))).away).toBe(true);
  });

  it('names a new role, and that we are shown large', () => {
    const host = state().participants.map((person) => ({ ...person, role: 'host' as const }));
    const promoted = meetingAfter(said(state()), said(state({ participants: host, lobby: [] })));
    expect(promoted.told).toEqual({ kind: 'role', role: 'host' });
    expect(iModerate(promoted)).toBe(true);
    expect(knocking(promoted)).toBe(0);
    const spot = meetingAfter(said(state()), said({ type: 'spotlight', revision: 2, participants: ['b'] }));
    expect(spot.told).toEqual({ kind: 'spotlit' });
  });
});

describe('the ring', () => {
  const present = (identity: string, more: Partial<Present> = {}): Present => ({
    identity,
    name: identity,
    me: identity === 'b',
    host: false,
    mark: 'fern',
    joinedAt: 0,
    microphone: true,
    video: 'v',
    screen: null,
    resting: false,
    weak: false,
    gone: false,
    unopened: false,
    ...more,
  });
  const ticket = { room: 'R', role: 'guest', name: 'B', mark: 'moon' } as const;
  const roomAfter = (...events: RoomEvent[]): RoomState => events.reduce(reduceRoom, enterRoom(ticket, 0));
  const circle = (message: Message): RoomEvent => ({ type: 'circle', message, at: 0 });

  it('is the circle’s order turned to us, whoever is heard first', () => {
    const room = roomAfter(circle(state()), { type: 'live', at: 0 }, { type: 'people', people: [present('b'), present('a')] });
    expect(room.people.map(({ identity }) => identity)).toEqual(['b', 'c', 'a']);
    expect(room.people.map(({ video }) => video)).toEqual(['v', null, 'v']);
    expect(room.people.map(({ host }) => host)).toEqual([false, false, true]);
  });

  it('seats those without sound and picture, and none who only listen', () => {
    const participants = state().participants.map((person) =>
      person.participant === 'c' ? { ...person, role: 'listener' as const } : { ...person, media: false },
    );
    const room = roomAfter(circle(state({ participants, seats: ['a', 'b'] })));
    expect(room.people.map(({ identity, textOnly }) => [identity, textOnly])).toEqual([
      ['b', true],
      ['a', true],
    ]);
    expect(room.listeners.map(({ identity }) => identity)).toEqual(['c']);
    expect(room.people[0]?.mark).toBe('moon');
  });

  it('counts hands, and holds what a host holds', () => {
    const room = roomAfter(
      circle(state({ hands: [{ participant: 'c', raisedAt: 1 }, { participant: 'b', raisedAt: 2 }] })),
      circle({ type: 'held', revision: 2, source: 'microphone', held: true, participants: ['b'] }),
    );
    expect(room.people.map(({ identity, hand }) => [identity, hand])).toEqual([['b', 2], ['c', 1], ['a', 0]]);
    expect(room.people[0]?.held).toEqual(['microphone']);
    const free = reduceRoom(room, circle({ type: 'held', revision: 3, source: 'microphone', held: false, participants: ['b'] }));
    expect(free.people[0]?.held).toEqual([]);
  });

  it('keeps everybody seated while sound and picture are gone, and without them', () => {
    const room = roomAfter(circle(state()), { type: 'text-only', why: 'blocked' });
    expect(room.people).toHaveLength(3);
    expect(room.line).toEqual({ at: 'text', why: 'blocked' });
    const lost = roomAfter(circle(state()), { type: 'live', at: 0 }, { type: 'people', people: [present('b'), present('a')] }, { type: 'lost', at: 1 });
    expect(lost.people.map(({ identity, video }) => [identity, video])).toEqual([['b', 'v'], ['c', null], ['a', null]]);
  });

  it('puts a line away after its time', () => {
    const room = roomAfter(circle(state()), { type: 'told', told: { kind: 'refused', code: 'full' }, at: 100 });
    expect(nextTick(room)).toBe(100 + TELL_FOR_MS);
    expect(reduceRoom(room, { type: 'tick', at: 100 + TELL_FOR_MS }).meeting.told).toBeNull();
  });

  it('is announced to hosts as one sentence', () => {
    const knock = { participant: 'k', name: 'K', since: 0 };
    const guest = roomAfter(circle(state({ hands: [{ participant: 'c', raisedAt: 1 }] })));
    expect(arrivalsIn(guest)).toEqual({ waiting: 0, hands: 0 });
    const host = roomAfter(circle(state({ you: 'a', lobby: [knock, { ...knock, participant: 'l' }], hands: [{ participant: 'c', raisedAt: 1 }] })));
    const t = wordsOf(en);
    expect(sayArrivals({ waiting: 0, hands: 0 }, arrivalsIn(host), t)).toBe('2 waiting, 1 with a raised hand');
    expect(sayArrivals(arrivalsIn(host), arrivalsIn(host), t)).toBe('');
  });
});

describe('rights', () => {
  it('are the server’s: hosts reach everybody, co-hosts no host, nobody else anybody', () => {
    expect([moderates('host'), moderates('co-host'), moderates('speaker'), moderates('listener')]).toEqual([true, true, false, false]);
    expect([reaches('host', 'host'), reaches('co-host', 'host'), reaches('co-host', 'speaker'), reaches('speaker', 'listener')]).toEqual([true, false, true, false]);
    const shut = hear(null, state({ settings: { ...state().settings, text: 'hosts' } }));
    expect(shut !== null && mayWrite(shut)).toBe(false);
    expect(shut !== null && myRole(shut)).toBe('speaker');
    expect(shut !== null && handOf(shut, 'a')).toBe(0);
  });
});

describe('links in what people write', () => {
  it('are whole web links, without the sentence around them', () => {
    expect(withLinks('見てください：https://example.org/a?b=c#d、よろしく')).toEqual([
      { text: '見てください：', href: null },
      { text: 'https://example.org/a?b=c#d', href: 'https://example.org/a?b=c#d' },
      { text: '、よろしく', href: null },
    ]);
    expect(withLinks('(http://example.org/x).').map(({ href }) => href)).toEqual([null, 'http://example.org/x', null]);
  });

  it('are nothing else: no script, no data, no markup', () => {
    for (const body of ['javascript:alert(1)', 'data:text/html,x', '<a href="x">y</a>', 'https://', 'ftp://example.org/', '']) {
      expect(withLinks(body).every(({ href }) => href === null), body).toBe(true);
      expect(withLinks(body).map((part) => part.text).join('')).toBe(body);
    }
  });
});

describe('how long the chat is kept', () => {
  it('is shortened by fewer days, by the meeting alone, by nothing; never by more', () => {
    const [none, meeting] = [{ history: 'none', historyDays: 30 }, { history: 'meeting', historyDays: 30 }] as const;
    const days = (historyDays: number) => ({ history: 'days', historyDays }) as const;
    const growing = [none, meeting, days(1), days(7), days(90)];
    growing.forEach((before, index) => {
      expect(growing.map((after) => shortens(before, after))).toEqual(growing.map((_, other) => other < index));
    });
  });
});

describe('encryption that ends', () => {
  it('is told; one that begins or stays is not', () => {
    const settings = (encryption: boolean): Message => ({ type: 'settings', settings: { ...state().settings, encryption } }) as Message;
    const on = meetingAfter(said(state()), said(settings(true)));
    expect(on.told).toBeNull();
    expect(reduceMeeting(on, said(settings(true))).told).toBeNull();
    expect(reduceMeeting(on, said(settings(false))).told).toEqual({ kind: 'unsealed' });
  });
});

describe('signs without a word', () => {
  it('are said as one sentence that does not grow', () => {
    const t = wordsOf(en);
    const many = Array.from({ length: NAMED_AT_ONCE + 3 }, (_, index) => `P${index}`);
    expect(sayFew(many.slice(0, 2), t)).toBe('P0, P1');
    expect(sayFew(many, t)).toBe('P0, P1, P2, P3, and others');
  });

  const give = (state: RoomState, participant: string, reaction: string, at: number): RoomState =>
    reduceRoom(state, { type: 'circle', message: { type: 'reaction', revision: 1, participant, reaction }, at });
  const room = enterRoom({ room: 'Thursday', role: 'guest', name: 'Fern', mark: 'fern' }, 0);
  const shown = (state: RoomState): string[] => state.meeting.given.map((one) => `${one.participant} ${one.name}`);

  it('are shown for a moment, the newest of each person, and then gone', () => {
    let state = give(give(room, 'a', '👏', 1_000), 'b', '❤', 2_000);
    expect(shown(state)).toEqual(['a clap', 'b heart']);
    state = give(state, 'a', '👍', 3_000);
    expect(shown(state)).toEqual(['b heart', 'a nod']);
    expect(nextTick(state)).toBe(2_000 + SHOW_REACTION_MS);
    state = reduceRoom(state, { type: 'tick', at: 2_000 + SHOW_REACTION_MS });
    expect(shown(state)).toEqual(['a nod']);
    expect(shown(reduceRoom(state, { type: 'tick', at: 3_000 + SHOW_REACTION_MS }))).toEqual([]);
  });

  it('that have no picture here are not shown', () => {
    expect(shown(give(room, 'a', '🦀', 1_000))).toEqual([]);
  });
});

describe('a seat that is moved by hand', () => {
  const table = { seats: ['a', 'b', 'me', 'c'], you: 'me' };
  it('changes places with its neighbour, as we see the ring', () => {
    expect(movedSeat(table, 'a', -1)).toEqual(['me', 'a', 'c', 'b']);
    expect(movedSeat(table, 'a', 1)).toEqual(['me', 'c', 'b', 'a']);
  });
  it('stays where it is at our own seat', () => {
    expect(movedSeat(table, 'c', -1)).toBeNull();
    expect(movedSeat(table, 'b', 1)).toBeNull();
    expect(movedSeat(table, 'me', 1)).toBeNull();
    expect(movedSeat(table, 'nobody', 1)).toBeNull();
  });
  it('may be anywhere for somebody who moves the ring without a seat', () => {
    expect(movedSeat({ seats: ['a', 'b'], you: 'x' }, 'b', -1)).toEqual(['b', 'a']);
  });
});
