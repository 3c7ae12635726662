/** Where the settings lie: localStorage, for this browser. Their form is `circle/settings.ts`. */

import type { Readable } from 'svelte/store';
import { writable } from 'svelte/store';
import type { Settings } from '../circle/settings';
import { readSettings } from '../circle/settings';

const SETTINGS_KEY = 'enza.settings';

export interface SettingsDesk {
  readonly shown: Readable<Settings>;
  readonly now: () => Settings;
  readonly change: (change: Partial<Settings>) => Settings;
}

export function openSettings(): SettingsDesk {
  let settings = readSettings(kept());
  const shown = writable(settings);
  return {
    shown,
    now: () => settings,
    change: (change) => {
      settings = { ...settings, ...change };
      shown.set(settings);
      try {
        localStorage.setItem(SETTINGS_KEY, JSON.stringify(settings));
      } catch {
        // They hold until the page is closed.
      }
      return settings;
    },
  };
}

function kept(): string | null {
  try {
    return localStorage.getItem(SETTINGS_KEY);
  } catch {
    return null;
  }
}
