/** Puts what a reader set for their eyes where the style sheets ask for it. */
import type { Settings } from '../circle/settings';

export function wear({ theme, size, contrast, motion }: Settings): void {
  const { dataset } = document.documentElement;
  Object.assign(dataset, { size, contrast, motion });
  if (theme === 'device') delete dataset['theme'];
  else dataset['theme'] = theme;
}
