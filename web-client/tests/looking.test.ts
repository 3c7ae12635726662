import { describe, expect, it } from 'vitest';
import type { Looking, Shown } from '../src/circle/looking';
import { firstLook, followed, largeOnes, reduceLooking, somethingShown, viewNow, volumeOf } from '../src/circle/looking';
import type { Person } from '../src/circle/person';
import { SPEAKING_AFTER_MS, heard, settled, silence } from '../src/circle/voices';

function person(identity: string, more: Partial<Person> = {}): Person {
  return {
    identity,
    name: identity,
    me: identity === 'me',
    host: false,
    mark: 'moon',
    joinedAt: 0,
    microphone: false,
    video: null,
    screen: null,
    resting: false,
    weak: false,
    gone: false,
    unopened: false,
    role: 'speaker',
    hand: 0,
    held: [],
    textOnly: false,
    ...more,
  };
}
const quiet: Shown = { people: [person('me'), person('a'), person('b', { video: 'v' })], spotlight: [] };
const shares: Shown = { ...quiet, people: [person('me'), person('a', { screen: 's' }), person('b', { video: 'v' })] };
const speaks = (identity: string): ReturnType<typeof heard> =>
  settled(heard(silence, [identity], 0), SPEAKING_AFTER_MS);
const seen = (looking: Looking, shown: Shown): string[] =>
  largeOnes(looking, shown).map(({ person: { identity }, source, why }) => `${identity} ${source} ${why}`);

describe('what is large', () => {
  it('is the pin, else the spotlight, else a screen, else who spoke last', () => {
    const lit: Shown = { ...shares, spotlight: ['b', 'me'] };
    const dominant = { ...firstLook, dominant: 'a' };
    expect(seen(reduceLooking(dominant, { type: 'pin', identity: 'me', whole: false }), lit)).toEqual(['me camera pinned']);
    expect(seen(dominant, lit)).toEqual(['b camera spotlight', 'me camera spotlight']);
    expect(seen(dominant, shares)).toEqual(['a screen screen']);
    expect(seen(dominant, quiet)).toEqual(['a camera speaker']);
    expect(seen(firstLook, quiet)).toEqual(['b camera speaker']);
    expect(seen(firstLook, { people: [person('me')], spotlight: [] })).toEqual(['me camera speaker']);
    expect(seen(firstLook, { people: [], spotlight: [] })).toEqual([]);
  });

  it('is not somebody who is no longer here', () => {
    expect(seen(firstLook, { ...quiet, spotlight: ['left'] })).toEqual(['b camera speaker']);
    const pinned = reduceLooking(firstLook, { type: 'pin', identity: 'left', whole: true });
    expect(followed(pinned, quiet, quiet, silence)).toMatchObject({ pinned: null, chosen: null });
  });

  it('shows a screen whole, and a camera where one asked for it', () => {
    expect(largeOnes(firstLook, shares)[0]?.whole).toBe(true);
    expect(largeOnes(firstLook, quiet)[0]?.whole).toBe(false);
    const pinned = reduceLooking(firstLook, { type: 'pin', identity: 'b', whole: true });
    expect(largeOnes(pinned, quiet)[0]?.whole).toBe(true);
  });

  it('stays with who spoke last through silence, never oneself', () => {
    const spoke = followed(firstLook, quiet, quiet, speaks('a'));
    expect(spoke.dominant).toBe('a');
    expect(followed(spoke, quiet, quiet, silence)).toBe(spoke);
    expect(followed(spoke, quiet, quiet, speaks('me')).dominant).toBe('a');
    expect(followed(spoke, quiet, quiet, speaks('b')).dominant).toBe('b');
  });
});

describe('circle or stage', () => {
  it('follows the room until one chooses', () => {
    expect(viewNow(firstLook, quiet)).toBe('circle');
    expect(viewNow(firstLook, shares)).toBe('stage');
    expect(viewNow(firstLook, { ...quiet, spotlight: ['a'] })).toBe('stage');
    expect(viewNow(reduceLooking(firstLook, { type: 'view', view: 'circle' }), shares)).toBe('circle');
    expect(somethingShown({ ...quiet, spotlight: ['left'] })).toBe(false);
  });

  it('comes back to what is newly shown to all, but only then', () => {
    const circle = reduceLooking(firstLook, { type: 'view', view: 'circle' });
    expect(viewNow(followed(circle, quiet, shares, silence), shares)).toBe('stage');
    expect(viewNow(followed(circle, shares, shares, silence), shares)).toBe('circle');
  });

  it('turns to the stage for a pin and back when it is let go', () => {
    const pinned = reduceLooking(firstLook, { type: 'pin', identity: 'a', whole: false });
    expect(viewNow(pinned, quiet)).toBe('stage');
    expect(viewNow(reduceLooking(pinned, { type: 'pin', identity: null, whole: false }), quiet)).toBe('circle');
    expect(reduceLooking(pinned, { type: 'view', view: 'circle' }).pinned).toBe(null);
  });
});

describe('volume for oneself', () => {
  it('is full unless chosen', () => {
    const quieter = reduceLooking(firstLook, { type: 'volume', identity: 'a', volume: 0.2 });
    expect(volumeOf(quieter, 'a')).toBe(0.2);
    expect(volumeOf(quieter, 'b')).toBe(1);
    expect(reduceLooking(quieter, { type: 'volume', identity: 'a', volume: 1 }).quieter.size).toBe(0);
  });
});
