import { describe, expect, it } from 'vitest';
import { otherKey } from '../src/circle/keys';
import type { Person, Present } from '../src/circle/person';
import { unheard, withoutCircle } from '../src/circle/person';
import type { RoomState } from '../src/circle/room';
import { enterRoom, reduceRoom } from '../src/circle/room';

function present(identity: string, more: Partial<Present> = {}): Present {
  return { identity, name: identity, me: identity === 'me', host: false, mark: 'moon', joinedAt: 0, ...unheard, ...more };
}
const person = (identity: string, more: Partial<Present> = {}): Person => withoutCircle(present(identity, more));

describe('keys that differ', () => {
  it('are nobody’s as long as everything opens', () => {
    expect(otherKey([person('me'), person('a', { microphone: true }), person('b')])).toBeNull();
  });
  it('are the one’s who cannot be opened while others can', () => {
    const people = [person('me'), person('a', { microphone: true }), person('b', { unopened: true })];
    expect(otherKey(people)).toEqual({ whose: 'theirs', names: ['b'] });
  });
  it('are ours when nobody can be opened', () => {
    const people = [person('me'), person('a', { microphone: true, unopened: true }), person('b', { unopened: true })];
    expect(otherKey(people)).toEqual({ whose: 'mine' });
  });
  it('may be anybody’s between two, also beside somebody who sends nothing', () => {
    expect(otherKey([person('me'), person('a', { unopened: true }), person('b')])).toEqual({ whose: 'either', name: 'a' });
  });
  it('are told again when somebody more has another one', () => {
    const ticket = { room: 'r', role: 'guest', name: 'me', mark: 'moon' } as const;
    const after = (room: RoomState, ...unopened: string[]): RoomState =>
      reduceRoom(room, { type: 'people', people: [present('me'), ...['a', 'b'].map((one) => present(one, { unopened: unopened.includes(one) }))] });
    const live = reduceRoom(enterRoom(ticket, 0), { type: 'live', at: 0 });
    const away = reduceRoom(after(live, 'a'), { type: 'keys-told' });
    expect(after(away, 'a').keysTold).toBe(true);
    expect(after(away, 'a', 'b').keysTold).toBe(false);
  });
});
