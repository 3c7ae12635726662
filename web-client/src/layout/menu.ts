/** Where a menu lies beside what opened it. Pure geometry, in CSS pixels. */

export interface Extent {
  readonly width: number;
  readonly height: number;
}

export interface Anchor extends Extent {
  readonly left: number;
  readonly top: number;
}

const GAP = 8;
const EDGE = 8;

/** Beside the anchor where there is room, else over or under it; never outside the page. */
export function placeMenu(anchor: Anchor, menu: Extent, page: Extent): { readonly left: number; readonly top: number } {
  const right = anchor.left + anchor.width + GAP;
  const left = anchor.left - GAP - menu.width;
  const within = (value: number, most: number): number => Math.max(EDGE, Math.min(value, most - EDGE));
  const top = within(anchor.top, page.height - menu.height);
  if (right + menu.width + EDGE <= page.width) return { left: right, top };
  if (left >= EDGE && anchor.top + anchor.height + menu.height > page.height) {
    // In a corner: over it, so that the way to the first line is short.
    const over = anchor.top - GAP - menu.height;
    const across = within(anchor.left + anchor.width - menu.width, page.width - menu.width);
    return over >= EDGE ? { left: across, top: over } : { left, top };
  }
  if (left >= EDGE) return { left, top };
  const below = anchor.top + anchor.height + GAP;
  return {
    left: within(anchor.left, page.width - menu.width),
    top: within(below + menu.height + EDGE <= page.height ? below : anchor.top - GAP - menu.height, page.height - menu.height),
  };
}
