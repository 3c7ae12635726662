import { readFileSync } from 'node:fs';
import { get } from 'svelte/store';
import { describe, expect, it, vi } from 'vitest';
import { bitRate, bytes, parts } from '../src/operator/figures';
import type { Look, Point } from '../src/operator/look';
import { afterAnswer, closed, lineThrough, newFindings, PAST_MS } from '../src/operator/look';
import { REASONS, whyKey } from '../src/operator/reasons';
import type { Around } from '../src/operator/watch';
import { watch } from '../src/operator/watch';
import type { Answer } from '../src/protocol/http';
import type { ServerState } from '../src/protocol/state';
import { askState, readState } from '../src/protocol/state';
import { serverState } from './pictures/server';

const ok = (people: number): Answer<ServerState> => ({ kind: 'ok', value: { ...serverState, people } });
const refused = (code: 'key-wrong' | 'too-many-attempts'): Answer<ServerState> => ({ kind: 'refused', code, message: '' });
const silence: Answer<ServerState> = { kind: 'unreachable', detail: '' };

describe('why somebody was turned away', () => {
  it('has words for every reason that the server knows, and shows others as they are', () => {
    const source = readFileSync(new URL('../../server/enza/src/metrics.rs', import.meta.url), 'utf8');
    const [people] = /const REASONS[^;]+; \d+\] = \[[^\]]+\]/.exec(source) ?? [''];
    const [lines] = /impl Turned \{[\s\S]+?\n\}/.exec(source) ?? [''];
    const named = [...`${people}${lines}`.matchAll(/"([a-z-]+)"/g)].map(([, name]) => name);
    expect(named).toEqual([...REASONS]);
    expect(whyKey('late')).toBe('op.why.late');
    expect(whyKey('of-tomorrow')).toBeNull();
  });
});

describe('the answer', () => {
  it('is read whole or not at all', () => {
    expect(readState(JSON.parse(JSON.stringify(serverState)))).toEqual(serverState);
    expect(readState({ ...serverState, people: 'seven' })).toBeNull();
    expect(readState(null)).toBeNull();
  });

  it('is asked for with the key as bearer, and a wrong key is told from silence', async () => {
    const send = vi.fn<typeof fetch>(() => Promise.resolve(new Response('{"code":"key-wrong","message":"x"}', { status: 401 })));
    expect(await askState('enza-operator-x', send)).toMatchObject({ kind: 'refused', code: 'key-wrong' });
    expect(new Headers(send.mock.calls[0]?.[1]?.headers).get('authorization')).toBe('Bearer enza-operator-x');
  });
});

describe('a look', () => {
  it('keeps what was seen when the server is gone, and says since when', () => {
    const seen = afterAnswer(closed, ok(3), 1000);
    const lost = afterAnswer(seen, silence, 6000);
    expect(lost).toMatchObject({ at: 'open', lost: true, readAt: 1000 });
    expect(afterAnswer(lost, ok(4), 11_000)).toMatchObject({ lost: false, readAt: 11_000 });
  });

  it('says why a key opens nothing', () => {
    const problem = (answer: Answer<ServerState>): unknown => {
      const look = afterAnswer(closed, answer, 0);
      return look.at === 'closed' ? look.problem : 'open';
    };
    expect([refused('key-wrong'), refused('too-many-attempts'), silence].map(problem)).toEqual(['wrong', 'wait', 'unreachable']);
  });

  it('has a past of ten minutes', () => {
    let look: Look = closed;
    for (let at = 0; at <= 2 * PAST_MS; at += 5000) look = afterAnswer(look, ok(1), at);
    const past = look.at === 'open' ? look.past : [];
    expect([past.length, past[0]?.at]).toEqual([PAST_MS / 5000 + 1, PAST_MS]);
  });

  it('tells only what is newly not well', () => {
    const [first] = serverState.findings;
    if (first === undefined) throw new Error('the example has a finding');
    expect(newFindings([], [first])).toEqual([first]);
    expect(newFindings([first], [{ ...first }])).toEqual([]);
    expect(newFindings([first], [{ ...first, verdict: 'bad' }])).toHaveLength(1);
  });

  it('draws the newest at the right edge and the most at the top', () => {
    const point = (at: number, people: number): Point => ({ at, people, processors: 0 });
    expect(lineThrough([point(0, 2), point(PAST_MS, 4)], ({ people }) => people, PAST_MS, 300, 60)).toBe('0.0,30.0 300.0,0.0');
    expect(lineThrough([point(PAST_MS, 0)], ({ people }) => people, PAST_MS, 300, 60)).toBe('300.0,60.0');
  });
});

describe('watching', () => {
  function around(answers: Answer<ServerState>[]): Around & { asked: string[]; kept: Map<string, string>; hidden: boolean; turn: () => void } {
    const kept = new Map<string, string>();
    const page = {
      asked: [] as string[],
      kept,
      hidden: false,
      turn: () => undefined as unknown,
      ask: (key: string) => {
        page.asked.push(key);
        return Promise.resolve(answers.shift() ?? silence);
      },
      storage: {
        getItem: (name: string) => kept.get(name) ?? null,
        setItem: (name: string, value: string) => void kept.set(name, value),
        removeItem: (name: string) => void kept.delete(name),
      },
      page: {
        get hidden() {
          return page.hidden;
        },
        addEventListener: (_: string, heard: () => void) => {
          page.turn = heard;
        },
        removeEventListener: () => undefined,
      },
    };
    return page as unknown as ReturnType<typeof around>;
  }
  const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

  it('asks every few seconds, and not while nobody looks', async () => {
    vi.useFakeTimers();
    const page = around([ok(1), ok(2), ok(3)]);
    const watching = watch(page);
    watching.enter(' key ', false);
    await settle();
    await vi.advanceTimersByTimeAsync(5000);
    expect(page.asked).toEqual(['key', 'key']);
    page.hidden = true;
    page.turn();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(page.asked).toHaveLength(2);
    page.hidden = false;
    page.turn();
    await settle();
    expect(page.asked).toHaveLength(3);
    expect(get(watching.shown)).toMatchObject({ at: 'open', state: { people: 3 } });
    expect(page.kept.size).toBe(0);
    watching.end();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(page.asked).toHaveLength(3);
    vi.useRealTimers();
  });

  it('keeps the key for a reload only where asked to, and drops one that is wrong', async () => {
    vi.useFakeTimers();
    const page = around([ok(1), ok(1), refused('key-wrong')]);
    watch(page).enter('key', true);
    await settle();
    expect([...page.kept.values()]).toEqual(['key']);
    const again = watch(page);
    await settle();
    expect(get(again.shown).at).toBe('open');
    again.askNow();
    await settle();
    expect(get(again.shown)).toMatchObject({ at: 'closed', problem: 'wrong' });
    expect(page.kept.size).toBe(0);
    vi.useRealTimers();
  });

  it('forgets the key when told to, whatever is on its way', async () => {
    vi.useFakeTimers();
    const page = around([ok(1), ok(2)]);
    const watching = watch(page);
    watching.enter('', false);
    expect(get(watching.shown)).toMatchObject({ at: 'closed', problem: 'missing' });
    watching.enter('key', true);
    watching.leave();
    await vi.advanceTimersByTimeAsync(60_000);
    expect([get(watching.shown), page.asked.length, page.kept.size]).toEqual([closed, 1, 0]);
    vi.useRealTimers();
  });
});

describe('figures', () => {
  it('are short', () => {
    expect([bytes(0, 'en'), bytes(1536, 'en'), bytes(30 * 1024 ** 3, 'en')]).toEqual(['0 B', '1.5 KiB', '30 GiB']);
    expect([bitRate(1000, 'en'), bitRate(1_250_000, 'en')]).toEqual(['8 kbit/s', '10.0 Mbit/s']);
    expect(parts(90_061_000)).toEqual({ days: 1, hours: 1, minutes: 1 });
  });
});
