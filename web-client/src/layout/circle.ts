/**
 * Where seats lie: from the free area and the number of people to rectangles. Pure geometry, in CSS pixels.
 * Must never know who sits where; seat 0 is one's own and lies at six o'clock, the rest follow clockwise.
 */

export interface Area {
  readonly width: number;
  readonly height: number;
  readonly seats: number;
  /** The narrow form of the page: smaller seats are accepted, names are shorter. */
  readonly phone: boolean;
  /** Size of the words, 1 for the page's own: larger words need wider plates. */
  readonly text: number;
  /** Height kept free at the top of the area (the question on a phone, the centre card above rows). */
  readonly headroom: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

interface Arrangement {
  /** Width of a disc. */
  readonly seat: number;
  /** Centres of the discs, seat order. */
  readonly places: readonly Point[];
  /** Widest a name plate may become. */
  readonly plate: number;
}

export interface Ring extends Arrangement {
  readonly shape: 'ring';
  /** The drawn ring the discs lie on. */
  readonly mat: { readonly x: number; readonly y: number; readonly rx: number; readonly ry: number };
  /** Width free for text in the middle of the ring. */
  readonly centre: number;
  /** Height free for it, between the names above and the discs below. */
  readonly centreHeight: number;
}

export interface Rows extends Arrangement {
  readonly shape: 'rows';
  readonly columns: number;
  /** Height of everything; more than the area means it scrolls. */
  readonly height: number;
}

/** Below these a face is no longer read; then the same order becomes rows. */
export const SEAT_MIN = { wide: 88, phone: 72 } as const;
/** Nearest two discs may lie. */
const GAP = 8;
/** A name plate as the fit test sees it; longer names are cut with an ellipsis. */
const PLATE = { wide: { width: 104, height: 38 }, phone: { width: 88, height: 34 } } as const;
const PLATE_DROP = 8;
/** How far the speaking ring stands out from a disc; kept free above rows, where the edge would cut it. */
const RING = 12;
/** Least width for words in the middle of a ring. */
const CENTRE_MIN = 92;

export function arrange(area: Area): Ring | Rows {
  return ring(area) ?? rows(area);
}

/** The ring, with seats as large as the mock-ups draw them and smaller only as far as they must; null when none fits. */
function ring(area: Area): Ring | null {
  const { width, height, seats, phone, text, headroom } = area;
  if (seats < 1) return null;
  const least = phone ? SEAT_MIN.phone : SEAT_MIN.wide;
  const free = height - headroom;
  const wish = wishedSeat(area, free);
  for (let seat = Math.floor(wish); seat >= least; seat -= 4) {
    const plate = plateFor(area);
    const ry = free / 2 - seat / 2 - plate.height / 2 - 4;
    const rx = Math.min(wishedRadius(area, seat, free), width / 2 - seat / 2 - (phone ? 14 : 24));
    if (rx < seat * 0.6 || ry < seat * 0.6) continue;
    const y = headroom + free / 2 - plate.height / 2 + 1;
    const places = onEllipse(seats, rx, ry).map((point) => ({ x: width / 2 + point.x, y: y + point.y }));
    // The middle has to stay free for words: a ring two seats wide is a heap.
    const centre = Math.min(phone ? 300 : 500, rx * 2 - seat * discsAcross(seats, phone) - (phone ? 16 : 40));
    if (centre < CENTRE_MIN) continue;
    if (!fits(places, seat, plate)) continue;
    return {
      shape: 'ring',
      seat,
      places,
      plate: Math.max(plate.width, Math.min(seat + (phone ? 30 : 72) * text, 260 * text)),
      mat: { x: width / 2, y, rx, ry },
      centre,
      centreHeight: Math.max(0, 2 * (ry - seat / 2 - plate.height)),
    };
  }
  return null;
}

function plateFor({ phone, text }: Area): { width: number; height: number } {
  const { width, height } = phone ? PLATE.phone : PLATE.wide;
  return { width: width * text, height: height * text };
}

/** How much of the middle the discs at both sides take, in seats. Alone, nobody sits at the side. */
function discsAcross(seats: number, phone: boolean): number {
  if (seats === 1) return 0.2;
  if (seats <= 4) return phone ? 1 : 0.5;
  return phone ? 1.1 : 1.35;
}

function wishedSeat({ width, seats, phone }: Area, free: number): number {
  if (phone) {
    return seats <= 4 ? Math.min(width * 0.33, free * 0.25) : Math.min(width * 0.225, free * 0.17);
  }
  if (seats <= 4) return Math.min(width * 0.165, free * 0.32, 320);
  if (seats <= 8) return Math.min(width * 0.125, free * 0.225, 260);
  return Math.min(width * 0.094, free * 0.18, 220);
}

function wishedRadius({ width, seats, phone }: Area, seat: number, free: number): number {
  const most = width / 2 - seat / 2;
  if (phone) return seats <= 4 ? Math.min(most - 16, free * 0.6) : most - 14;
  if (seats <= 4) return Math.min(width * 0.3, free * 0.6);
  if (seats <= 8) return Math.min(most - 60, free * 0.76);
  return Math.min(most - 40, free * 0.84);
}

/** Equal arc lengths on an ellipse around the origin, starting at the bottom, going clockwise as seen. */
export function onEllipse(count: number, rx: number, ry: number): Point[] {
  const steps = 720;
  const lengths: number[] = [0];
  let before: Point = { x: 0, y: ry };
  let length = 0;
  for (let step = 1; step <= steps; step += 1) {
    const turn = (step / steps) * 2 * Math.PI;
    const point = { x: -Math.sin(turn) * rx, y: Math.cos(turn) * ry };
    length += Math.hypot(point.x - before.x, point.y - before.y);
    lengths.push(length);
    before = point;
  }
  const places: Point[] = [];
  let step = 0;
  for (let seat = 0; seat < count; seat += 1) {
    const wanted = (seat / count) * length;
    while (step < steps && (lengths[step + 1] ?? Infinity) <= wanted) step += 1;
    const from = lengths[step] ?? 0;
    const to = lengths[step + 1] ?? from;
    const turn = ((step + (to > from ? (wanted - from) / (to - from) : 0)) / steps) * 2 * Math.PI;
    places.push({ x: -Math.sin(turn) * rx, y: Math.cos(turn) * ry });
  }
  return places;
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

function plateBox(place: Point, seat: number, plate: { width: number; height: number }): Box {
  const top = place.y + seat / 2 + PLATE_DROP;
  return { left: place.x - plate.width / 2, right: place.x + plate.width / 2, top, bottom: top + plate.height - PLATE_DROP };
}

function fits(places: readonly Point[], seat: number, plate: { width: number; height: number }): boolean {
  return places.every((a, i) =>
    places.every((b, j) => {
      if (i === j) return true;
      if (Math.hypot(a.x - b.x, a.y - b.y) < seat + GAP) return false;
      const name = plateBox(a, seat, plate);
      const across = b.x - Math.min(Math.max(b.x, name.left), name.right);
      const along = b.y - Math.min(Math.max(b.y, name.top), name.bottom);
      if (Math.hypot(across, along) < seat / 2 + 2) return false;
      const other = plateBox(b, seat, plate);
      return name.right <= other.left || other.right <= name.left || name.bottom <= other.top || other.bottom <= name.top;
    }),
  );
}

/** The same order read left to right, as large as fits, scrolling when not even the smallest does. */
function rows({ width, height, seats, phone, text, headroom }: Area): Rows {
  const side = phone ? 14 : 24;
  const least = phone ? SEAT_MIN.phone : SEAT_MIN.wide;
  const most = phone ? 112 : 180;
  const beside = (phone ? 30 : 34) * text;
  const below = PLATE_DROP + (phone ? 50 : 46) * text;
  const across = Math.max(0, width - side * 2);
  const columnsFor = (seat: number): number => Math.max(1, Math.min(seats, Math.floor(across / (seat + beside))));
  const heightFor = (seat: number): number =>
    headroom + RING + Math.ceil(seats / columnsFor(seat)) * (seat + below);
  let seat: number = Math.min(least, Math.max(48, across));
  for (let larger = most; larger > seat; larger -= 4) {
    if (columnsFor(larger) >= Math.min(seats, 2) && heightFor(larger) <= height) {
      seat = larger;
      break;
    }
  }
  // Even rows: 9 people in 4 columns become 3 + 3 + 3.
  const lines = Math.ceil(seats / columnsFor(seat));
  const columns = Math.max(1, Math.ceil(seats / Math.max(1, lines)));
  const cell = Math.min(across / columns, seat + beside * 3);
  const places: Point[] = [];
  const slack = Math.max(0, height - heightFor(seat)) / 2;
  for (let index = 0; index < seats; index += 1) {
    const line = Math.floor(index / columns);
    const inLine = Math.min(columns, seats - line * columns);
    // On a wide page the last row stands in the middle; on a phone columns stay columns for the thumb.
    const start = phone ? (width - columns * cell) / 2 : (width - inLine * cell) / 2;
    places.push({
      x: start + (index - line * columns + 0.5) * cell,
      y: headroom + slack + RING + line * (seat + below) + seat / 2,
    });
  }
  return { shape: 'rows', seat, places, plate: Math.max(64, cell - GAP), columns, height: heightFor(seat) };
}
