/**
 * What a person set for themselves. Owns the form and the checking of what the browser keeps of it: how the page looks
 * and sounds, nothing about who they are or where they were. Must never know where it is kept.
 */

const choices = {
  /** How much video is received and sent. */
  pictures: ['all', 'saver', 'none'],
  size: ['normal', 'large', 'largest'],
  theme: ['device', 'light', 'dark'],
  contrast: ['device', 'more'],
  motion: ['device', 'less'],
  /** What is seen behind oneself. */
  background: ['none', 'blur', 'paper', 'moss', 'indigo'],
} as const;

type Choices = { readonly [Name in keyof typeof choices]: (typeof choices)[Name][number] };

const switches = {
  /** Noise suppression, echo cancellation and automatic gain of the microphone. */
  noise: true,
  echo: true,
  gain: true,
  /** One's own picture as in a mirror. For oneself only: the others see it the right way round. */
  mirror: true,
  /** Signs that others give without a word are shown and said. */
  reactions: true,
  /** The keys with Alt. */
  keys: true,
} as const;

type Switches = { readonly [Name in keyof typeof switches]: boolean };

/** A background that hides the room. */
export type Backdrop = Exclude<Choices['background'], 'none'>;

export type Settings = Choices & Switches;
export type Switch = keyof Switches;
export type Choice = keyof Choices;

export const firstSettings: Settings = {
  pictures: 'all',
  size: 'normal',
  theme: 'device',
  contrast: 'device',
  motion: 'device',
  background: 'none',
  ...switches,
};

/** Reads what was kept; whatever is not as it should be is as it was at first. */
export function readSettings(text: string | null): Settings {
  let value: unknown = null;
  try {
    value = JSON.parse(text ?? 'null');
  } catch {
    // Not ours, or cut short.
  }
  if (typeof value !== 'object' || value === null) return firstSettings;
  const kept = value as Readonly<Record<string, unknown>>;
  const choice = <Value extends string>(name: Choice, known: readonly Value[], first: Value): Value =>
    known.find((one) => one === kept[name]) ?? first;
  const on = (name: Switch): boolean => {
    const held = kept[name];
    return typeof held === 'boolean' ? held : firstSettings[name];
  };
  return {
    pictures: choice('pictures', choices.pictures, firstSettings.pictures),
    size: choice('size', choices.size, firstSettings.size),
    theme: choice('theme', choices.theme, firstSettings.theme),
    contrast: choice('contrast', choices.contrast, firstSettings.contrast),
    motion: choice('motion', choices.motion, firstSettings.motion),
    background: choice('background', choices.background, firstSettings.background),
    noise: on('noise'),
    echo: on('echo'),
    gain: on('gain'),
    mirror: on('mirror'),
    reactions: on('reactions'),
    keys: on('keys'),
  };
}

/** What the microphone is opened with. */
export type SoundSettings = Pick<Settings, 'noise' | 'echo' | 'gain'>;

export function soundChanged(before: Settings, now: Settings): boolean {
  return before.noise !== now.noise || before.echo !== now.echo || before.gain !== now.gain;
}
