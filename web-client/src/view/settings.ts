/** The settings for whoever draws by them. */
import { getContext, setContext } from 'svelte';
import type { Readable } from 'svelte/store';
import type { Settings } from '../circle/settings';

const KEY = 'settings';

export function provideSettings(settings: Readable<Settings>): void {
  setContext(KEY, settings);
}

export function useSettings(): Readable<Settings> {
  return getContext(KEY);
}
