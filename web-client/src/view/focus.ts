/** Moves the reading point to the heading of a screen that has just replaced another one. */
export function focusHere(element: HTMLElement): void {
  element.tabIndex = -1;
  element.focus({ preventScroll: true });
}
