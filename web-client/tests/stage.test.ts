import { describe, expect, it } from 'vitest';
import type { Rect } from '../src/layout/stage';
import { arrangeStage, liesDown } from '../src/layout/stage';

const desk = { width: 1280, height: 640, phone: false, seats: 12, whole: false };
const phone = { width: 390, height: 690, phone: true, seats: 12, whole: false };
const side = { width: 740, height: 330, phone: true, seats: 12, whole: false };

function apart(a: Rect, b: Rect): boolean {
  return (
    a.left + a.width <= b.left + 0.01 ||
    b.left + b.width <= a.left + 0.01 ||
    a.top + a.height <= b.top + 0.01 ||
    b.top + b.height <= a.top + 0.01
  );
}

describe('the stage', () => {
  it('keeps pictures and seats apart and inside, at any size', () => {
    for (const [width, height, narrow] of [
      [1280, 640, false],
      [3840, 2000, false],
      [900, 500, false],
      [390, 690, true],
      [320, 430, true],
      [740, 330, true],
    ] as const) {
      for (let large = 1; large <= 9; large += 1) {
        const { boxes, strip } = arrangeStage({ width, height, phone: narrow, seats: 12, whole: true, large });
        expect(boxes).toHaveLength(large);
        for (const [index, box] of boxes.entries()) {
          expect(box.width).toBeGreaterThan(40);
          if (!narrow || large > 1) expect(box.width / box.height).toBeCloseTo(16 / 9);
          for (const rect of [...boxes.slice(index + 1), strip]) expect(apart(box, rect)).toBe(true);
        }
        for (const rect of [...boxes, strip]) {
          expect(rect.left).toBeGreaterThanOrEqual(0);
          expect(rect.top).toBeGreaterThanOrEqual(0);
          expect(rect.left + rect.width).toBeLessThanOrEqual(width + 0.01);
          expect(rect.top + rect.height).toBeLessThanOrEqual(height + 0.01);
        }
      }
    }
  });

  it('gives one picture most of a desk, and the whole width of a phone', () => {
    expect(arrangeStage({ ...desk, large: 1 }).boxes[0]?.width).toBeGreaterThan(880);
    const [face] = arrangeStage({ ...phone, large: 1 }).boxes;
    const [screen] = arrangeStage({ ...phone, large: 1, whole: true }).boxes;
    expect(face?.width).toBe(370);
    expect(screen?.width).toBe(370);
    expect(face?.height).toBeGreaterThan(screen?.height ?? Infinity);
  });

  it('puts the seats below, in lines on a phone, beside on a phone that lies down', () => {
    expect(arrangeStage({ ...desk, large: 1 }).strip.along).toBe('row');
    expect(arrangeStage({ ...phone, large: 1 }).strip.along).toBe('lines');
    const down = arrangeStage({ ...side, large: 1 });
    expect(liesDown(side.width, side.height)).toBe(true);
    expect(down.strip.along).toBe('column');
    expect(down.boxes[0]?.height).toBeGreaterThan(300);
  });

  it('lays four pictures two by two on a desk and under each other on a phone', () => {
    const tops = (rects: readonly Rect[]): number => new Set(rects.map((rect) => Math.round(rect.top))).size;
    expect(tops(arrangeStage({ ...desk, large: 4 }).boxes)).toBe(2);
    expect(tops(arrangeStage({ ...phone, large: 2 }).boxes)).toBe(2);
  });

  it('survives an area without size', () => {
    const { boxes } = arrangeStage({ width: 0, height: 0, phone: true, seats: 3, whole: false, large: 2 });
    for (const box of boxes) expect(Number.isFinite(box.left + box.top + box.width + box.height)).toBe(true);
  });
});
