/** The next step for a device that does not work; the way to a permission is another in each browser. */
import { browserOf, inAppOf } from '../circle/browser';
import type { DeviceFault } from '../circle/room';
import type { PlainKey } from '../strings';

export function nextStep(why: DeviceFault): PlainKey {
  if (why !== 'denied') return `e.${why}.b`;
  if (inAppOf(navigator.userAgent) !== null) return 'in-app.denied';
  const browser = browserOf(navigator.userAgent, navigator.maxTouchPoints);
  return browser === 'other' ? 'e.denied.b' : `e.denied.${browser}.b`;
}
