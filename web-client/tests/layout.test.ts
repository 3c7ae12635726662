import { describe, expect, it } from 'vitest';
import { SEAT_MIN, arrange, onEllipse } from '../src/layout/circle';
import type { Area, Ring, Rows } from '../src/layout/circle';

const desktop = { width: 1280, height: 640, phone: false, text: 1, headroom: 0 };
const phone = { width: 390, height: 690, phone: true, text: 1, headroom: 0 };

function ring(area: Area): Ring {
  const layout = arrange(area);
  if (layout.shape !== 'ring') throw new Error(`rows for ${area.seats}`);
  return layout;
}

describe('the ellipse', () => {
  it('starts at the bottom and goes clockwise as seen: the next person is on one’s left', () => {
    const [me, next, across, last] = onEllipse(4, 100, 50);
    expect(me?.x).toBeCloseTo(0);
    expect(me?.y).toBeCloseTo(50);
    expect(next?.x).toBeLessThan(-99);
    expect(across?.y).toBeCloseTo(-50, 0);
    expect(last?.x).toBeGreaterThan(99);
  });

  it('leaves the same way along the line between any two neighbours', () => {
    const [rx, ry, count] = [400, 150, 9];
    const places = onEllipse(count, rx, ry);
    const turns = places.map(({ x, y }) => (Math.atan2(-x / rx, y / ry) + 2 * Math.PI) % (2 * Math.PI));
    const arc = (from: number, to: number): number => {
      let length = 0;
      for (let step = 0; step < 2000; step += 1) {
        const turn = from + ((to - from) * (step + 0.5)) / 2000;
        length += Math.hypot(Math.cos(turn) * rx, Math.sin(turn) * ry) * ((to - from) / 2000);
      }
      return length;
    };
    const lengths = turns.map((turn, seat) => arc(turn, turns[seat + 1] ?? 2 * Math.PI));
    for (const length of lengths) expect(length / (lengths[0] ?? 1)).toBeCloseTo(1, 1);
  });
});

describe('the ring', () => {
  it('holds the sizes of the design for 3, 7 and 12 people on a desktop', () => {
    expect(ring({ ...desktop, seats: 3 }).seat).toBeGreaterThanOrEqual(200);
    expect(ring({ ...desktop, seats: 7 }).seat).toBeGreaterThanOrEqual(140);
    expect(ring({ ...desktop, seats: 12 }).seat).toBeGreaterThanOrEqual(108);
  });

  it('never lets discs touch, leave the area or get below the smallest size', () => {
    for (const [width, height, narrow] of [
      [1280, 640, false],
      [1920, 900, false],
      [1024, 560, false],
      [3840, 2000, false],
      [390, 690, true],
      [320, 480, true],
      [820, 1000, true],
      [700, 300, true],
    ] as const) {
      for (let seats = 1; seats <= 24; seats += 1) {
        const layout = arrange({ width, height, seats, phone: narrow, text: 1, headroom: 0 });
        expect(layout.places).toHaveLength(seats);
        if (layout.shape === 'ring') {
          expect(layout.seat).toBeGreaterThanOrEqual(narrow ? SEAT_MIN.phone : SEAT_MIN.wide);
        }
        const bottom = layout.shape === 'rows' ? Math.max(height, layout.height) : height;
        // Counted first, expected once: thousands of expectations take seconds on a busy machine.
        const outside = layout.places.filter(
          ({ x, y }) =>
            x - layout.seat / 2 < 0 ||
            x + layout.seat / 2 > width ||
            y - layout.seat / 2 < 0 ||
            y + layout.seat / 2 + 30 > bottom,
        );
        const touching = layout.places.filter((place, index) =>
          layout.places
            .slice(index + 1)
            .some((other) => Math.hypot(place.x - other.x, place.y - other.y) < layout.seat + 8),
        );
        expect({ seats, width, outside, touching }).toEqual({ seats, width, outside: [], touching: [] });
      }
    }
  });

  it('keeps one’s own seat at six o’clock', () => {
    for (const seats of [1, 2, 5, 8]) {
      const layout = ring({ ...desktop, seats });
      expect(layout.places[0]?.x).toBeCloseTo(640);
      for (const place of layout.places) expect(place.y).toBeLessThanOrEqual((layout.places[0]?.y ?? 0) + 0.001);
    }
  });

  it('gives larger words wider plates, and rows where the ring has no room for them', () => {
    const [normal, large] = [ring({ ...desktop, seats: 9 }), ring({ ...desktop, seats: 9, text: 1.5 })];
    expect(large.plate).toBeGreaterThan(normal.plate);
    expect(large.seat).toBeLessThanOrEqual(normal.seat);
    expect(arrange({ ...phone, seats: 8, text: 2 }).shape).toBe('rows');
  });

  it('gives the question its room when asked', () => {
    const layout = ring({ ...phone, seats: 5, headroom: 96 });
    for (const place of layout.places) expect(place.y - layout.seat / 2).toBeGreaterThanOrEqual(96);
  });
});

describe('rows', () => {
  const rows = (area: Area): Rows => {
    const layout = arrange(area);
    if (layout.shape !== 'rows') throw new Error(`a ring for ${area.seats}`);
    return layout;
  };

  it('take over when the ring would be too small', () => {
    expect(arrange({ ...phone, seats: 7 }).shape).toBe('ring');
    expect(rows({ ...phone, seats: 12 }).columns).toBe(3);
    expect(rows({ ...desktop, seats: 24 }).columns).toBeGreaterThan(5);
  });

  it('read left to right, top to bottom, and end even', () => {
    const layout = rows({ ...desktop, width: 700, height: 500, seats: 9 });
    let before = { x: -1, y: -1 };
    for (const place of layout.places) {
      expect(place.y > before.y || (place.y === before.y && place.x > before.x)).toBe(true);
      before = place;
    }
    expect(Math.ceil(9 / layout.columns) * layout.columns - 9).toBeLessThan(layout.columns);
  });

  it('scroll instead of shrinking below the smallest size', () => {
    const layout = rows({ width: 320, height: 300, seats: 30, phone: true, text: 1, headroom: 0 });
    expect(layout.height).toBeGreaterThan(300);
    expect(layout.seat).toBe(SEAT_MIN.phone);
  });

  it('survive an area without size', () => {
    for (const seats of [0, 1, 5]) {
      const layout = arrange({ width: 0, height: 0, seats, phone: true, text: 1, headroom: 0 });
      expect(layout.places).toHaveLength(seats);
      for (const place of layout.places) expect(Number.isFinite(place.x + place.y)).toBe(true);
    }
  });
});
