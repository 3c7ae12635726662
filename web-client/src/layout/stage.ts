/**
 * Where the stage's pictures and the row of seats beside them lie: from the free area to rectangles, in CSS pixels.
 * Pure geometry. Must never know who is large.
 */

export interface StageArea {
  readonly width: number;
  readonly height: number;
  /** Pictures on the stage. */
  readonly large: number;
  readonly seats: number;
  /** A single picture that must not be cropped. */
  readonly whole: boolean;
  /** The narrow form of the page. */
  readonly phone: boolean;
}

export interface Rect {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export interface StageLayout {
  readonly boxes: readonly Rect[];
  /** Where the seats lie, and how they run on when they do not fit: sideways, downwards or in lines. */
  readonly strip: Rect & { readonly along: 'row' | 'column' | 'lines' };
  /** Width of a seat's disc in the strip. */
  readonly thumb: number;
}

/** Camera and screen alike; a picture of another shape lies inside it with its edges free. */
const SHAPE = 16 / 9;
/** One face on an upright phone. */
const TALL_SHAPE = 1 / 0.94;
const GAP = { wide: 16, phone: 8 } as const;
/** A disc in the strip, with its name below. */
const THUMB = { wide: 74, phone: 62 } as const;
const NAME = 40;
/** Seats in lines: what lies beside and below a disc. */
const LINE_GAP = { beside: 22, below: 46 } as const;
/** Room for the ring of somebody who speaks, which stands out from the disc. */
const RING = 12;
/** The strip at the side of a phone that lies down. */
const SIDE = 96;

/** A page this low and this wide is a phone on its side: the same edge as in the style sheets. */
export function liesDown(width: number, height: number): boolean {
  return height < 480 && width > height * 1.2;
}

export function arrangeStage({ width, height, large, seats, whole, phone }: StageArea): StageLayout {
  const gap = phone ? GAP.phone : GAP.wide;
  const edge = phone ? 10 : 24;
  const thumb = phone ? THUMB.phone : THUMB.wide;
  if (liesDown(width, height)) {
    const free = { left: 12, top: 0, width: Math.max(0, width - 24 - gap - SIDE), height: Math.max(0, height - 6) };
    return {
      boxes: boxesIn(free, large, gap),
      strip: { left: Math.max(0, width - 12 - SIDE), top: 0, width: SIDE, height, along: 'column' },
      thumb: THUMB.phone,
    };
  }
  const across = Math.max(0, width - edge * 2);
  const line = thumb + NAME + RING;
  if (phone) {
    // Upright: the picture as wide as the page, the seats in lines below it, all that is left.
    const most = Math.max(0, height - line - gap);
    const wanted = large <= 1 ? across / SHAPE : stacked(across, large, gap);
    const lines = Math.ceil(seats / Math.max(1, Math.floor((width - edge * 2) / (thumb + LINE_GAP.beside))));
    const left = height - gap * 2 - RING - lines * (thumb + LINE_GAP.below);
    // One face may be taller than the camera's shape, where the seats leave room for it.
    const taller = large === 1 && !whole ? Math.min(left, across / TALL_SHAPE) : 0;
    const tall = Math.min(most, Math.max(wanted, taller));
    const top = tall + gap;
    const free = { left: edge, top: 0, width: across, height: tall };
    return {
      boxes: large === 1 ? [free] : boxesIn(free, large, gap),
      strip: { left: 0, top, width, height: Math.max(0, height - top), along: 'lines' },
      thumb,
    };
  }
  const tall = Math.max(0, height - line - gap);
  return {
    boxes: boxesIn({ left: edge, top: 0, width: across, height: tall }, seats === 0 ? 0 : large, gap),
    strip: { left: 0, top: tall + gap, width, height: line, along: 'row' },
    thumb,
  };
}

/** Height of several pictures under each other, two in a line from the third on. */
function stacked(width: number, count: number, gap: number): number {
  const columns = count <= 2 ? 1 : 2;
  const each = (width - gap * (columns - 1)) / columns / SHAPE;
  const lines = Math.ceil(count / columns);
  return each * lines + gap * (lines - 1);
}

/** `count` pictures of one size, as large as they can be, the last line in the middle. */
function boxesIn(free: Rect, count: number, gap: number): Rect[] {
  let best = { columns: 1, width: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const lines = Math.ceil(count / columns);
    const wide = (free.width - gap * (columns - 1)) / columns;
    const tall = (free.height - gap * (lines - 1)) / lines;
    const width = Math.max(0, Math.min(wide, tall * SHAPE));
    if (width > best.width) best = { columns, width };
  }
  const { columns, width } = best;
  const height = width / SHAPE;
  const lines = Math.ceil(count / columns);
  const top = free.top + Math.max(0, free.height - lines * height - (lines - 1) * gap) / 2;
  return Array.from({ length: count }, (_, index) => {
    const line = Math.floor(index / columns);
    const inLine = Math.min(columns, count - line * columns);
    const left = free.left + (free.width - inLine * width - (inLine - 1) * gap) / 2;
    return { left: left + (index - line * columns) * (width + gap), top: top + line * (height + gap), width, height };
  });
}
