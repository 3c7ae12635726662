/**
 * The keys of the room. All with Alt, so that nothing fires by accident while typing or with speech input.
 * Read by the place on the keyboard: with Alt held, macOS reports another letter.
 */
import type { PlainKey } from '../strings';

export type KeyAction = 'microphone' | 'camera' | 'hand' | 'text' | 'people' | 'view' | 'away' | 'leave' | 'keys';

interface Key {
  readonly code: string;
  readonly action: KeyAction;
  /** As written on the keyboard. */
  readonly label: string;
  readonly words: PlainKey;
}

export const altKeys: readonly Key[] = [
  { code: 'KeyM', action: 'microphone', label: 'Alt+M', words: 'key.mic' },
  { code: 'KeyC', action: 'camera', label: 'Alt+C', words: 'key.cam' },
  { code: 'KeyK', action: 'hand', label: 'Alt+K', words: 'key.hand' },
  { code: 'KeyX', action: 'away', label: 'Alt+X', words: 'key.away' },
  { code: 'KeyW', action: 'text', label: 'Alt+W', words: 'key.text' },
  { code: 'KeyP', action: 'people', label: 'Alt+P', words: 'key.people' },
  { code: 'KeyG', action: 'view', label: 'Alt+G', words: 'key.view' },
  { code: 'KeyL', action: 'leave', label: 'Alt+L', words: 'key.leave' },
  { code: 'Slash', action: 'keys', label: 'Alt+/', words: 'key.list' },
];

/** What the browser or the elements themselves do, for the list. */
export const otherKeys: readonly { readonly label: PlainKey; readonly words: PlainKey }[] = [
  { label: 'key.space', words: 'key.talk' },
  { label: 'key.f6', words: 'key.region' },
  { label: 'key.arrows', words: 'key.seat' },
  { label: 'key.enter', words: 'key.menu' },
  { label: 'key.esc', words: 'key.close' },
];

type Pressed = Pick<KeyboardEvent, 'altKey' | 'ctrlKey' | 'metaKey' | 'shiftKey' | 'repeat' | 'code' | 'key'>;

export function actionOf(event: Pressed): KeyAction | null {
  if (!event.altKey || event.ctrlKey || event.metaKey || event.repeat) return null;
  // The slash lies elsewhere on many keyboards.
  const code = event.key === '/' ? 'Slash' : event.code;
  return altKeys.find((key) => key.code === code)?.action ?? null;
}

/** F6 goes from region to region and round again; each has the attribute `data-region`. */
export function moveRegion(step: 1 | -1): void {
  const drawn = (element: HTMLElement): boolean => element.getClientRects().length > 0;
  const regions = [...document.querySelectorAll<HTMLElement>('[data-region]')].filter(drawn);
  const here = regions.findIndex((region) => region.contains(document.activeElement));
  const next = regions[here < 0 ? 0 : (here + step + regions.length) % regions.length];
  if (next === undefined) return;
  const controls = next.querySelectorAll<HTMLElement>(
    'button:not([tabindex="-1"]), a[href], input, select, textarea, [tabindex="0"]',
  );
  const inside = [...controls].find(drawn);
  (inside ?? next).focus();
}
