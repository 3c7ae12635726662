import { describe, expect, it } from 'vitest';
import { arrange } from '../src/layout/circle';
import { isLong, linesWithin, standsWithin } from '../src/layout/question';

describe('the question of the day', () => {
  it('is long by how wide it is', () => {
    expect(isLong('What went well?')).toBe(false);
    expect(isLong('a'.repeat(64))).toBe(false);
    expect(isLong('a'.repeat(65))).toBe(true);
    expect(isLong('あ'.repeat(32))).toBe(false);
    expect(isLong('あ'.repeat(33))).toBe(true);
  });

  it('has as many lines as the middle of the ring leaves it, two at least', () => {
    const long = 'あ'.repeat(200);
    expect(linesWithin(0, long, 1)).toBe(2);
    expect(linesWithin(10_000, long, 1)).toBe(6);
    expect(linesWithin(260, long, 1)).toBe(4);
    expect(linesWithin(260, long, 1.5)).toBeLessThan(linesWithin(260, long, 1));
  });

  it('stands above the ring where its middle is too small for it, if it is long', () => {
    const long = 'あ'.repeat(200);
    expect(standsWithin(94, long, 1)).toBe(false);
    expect(standsWithin(220, long, 1)).toBe(true);
    expect(standsWithin(220, long, 1.4)).toBe(false);
    expect(standsWithin(94, 'あ', 1)).toBe(true);
  });

  it('lies between the names above and the discs below', () => {
    for (const seats of [2, 4, 7, 9]) {
      const layout = arrange({ width: 1280, height: 580, seats, phone: false, text: 1, headroom: 0 });
      if (layout.shape !== 'ring') throw new Error('no ring');
      const { y } = layout.mat;
      const half = layout.centreHeight / 2;
      for (const place of layout.places.filter((one) => Math.abs(one.x - layout.mat.x) < layout.seat / 2)) {
        if (place.y > y) expect(y + half).toBeLessThanOrEqual(place.y - layout.seat / 2);
        else expect(y - half).toBeGreaterThanOrEqual(place.y + layout.seat / 2 + 38);
      }
    }
  });
});
