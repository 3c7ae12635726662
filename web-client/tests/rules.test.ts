import { describe, expect, it } from 'vitest';
import { changesTyped } from '../src/circle/rules';
import type { Settings } from '../src/protocol/circle';

describe('what was typed into the room\'s rules', () => {
  const settings = { question: 'Q', capacity: 20, agreement: { version: 3, lines: ['a', 'b'] } } as unknown as Settings;
  const same = { question: 'Q', promises: 'a\nb', capacity: 20 };

  it('is nothing where nothing differs but space', () => {
    expect(changesTyped(settings, same)).toEqual([]);
    expect(changesTyped(settings, { question: ' Q ', promises: ' a \n\n b\n', capacity: '20' })).toEqual([]);
  });

  it('is only what differs, the number apart', () => {
    expect(changesTyped(settings, { ...same, question: 'R' })).toEqual([{ question: 'R' }]);
    expect(changesTyped(settings, { question: '', promises: 'c', capacity: 5 })).toEqual([{ question: '', agreement: ['c'] }, { capacity: 5 }]);
  });

  it('knows an empty number and no number as none, and leaves a wrong one to the server', () => {
    for (const capacity of [null, '', ' ', '1.5', 'many']) expect(changesTyped(settings, { ...same, capacity })).toEqual([]);
    expect(changesTyped(settings, { ...same, capacity: 0 })).toEqual([{ capacity: 0 }]);
  });
});
