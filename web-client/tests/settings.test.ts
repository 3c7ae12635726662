import { describe, expect, it } from 'vitest';
import { firstSettings, readSettings, soundChanged } from '../src/circle/settings';

describe('settings', () => {
  it('come back as they were kept', () => {
    const chosen = { ...firstSettings, theme: 'dark', size: 'largest', pictures: 'none', keys: false } as const;
    expect(readSettings(JSON.stringify(chosen))).toEqual(chosen);
  });

  it('are the first ones where nothing fitting was kept', () => {
    for (const text of [null, '', '7', 'null', '"x"', '{', '{"theme":"pink","keys":"yes","size":3}']) {
      expect(readSettings(text)).toEqual(firstSettings);
    }
    expect(readSettings('{"mirror":false,"theme":"pink"}')).toEqual({ ...firstSettings, mirror: false });
  });

  it('take nothing over that is not a setting', () => {
    expect(Object.keys(readSettings('{"name":"x","theme":"dark"}')).sort()).toEqual(Object.keys(firstSettings).sort());
  });

  it('open the microphone anew only for what concerns it', () => {
    expect(soundChanged(firstSettings, { ...firstSettings, noise: false })).toBe(true);
    expect(soundChanged(firstSettings, { ...firstSettings, theme: 'dark' })).toBe(false);
  });
});
