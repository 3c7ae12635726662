/** What was typed into the words of a room's rules, as the changes it means. Pure. */
import type { Settings, SettingsChange } from '../protocol/circle';

export interface Typed {
  readonly question: string;
  /** One promise a line. */
  readonly promises: string;
  /** As the field gives it; a number field that is empty gives null. */
  readonly capacity: string | number | null;
}

/**
 * Only what differs. The number is a change of its own: refused, it takes no words with it. An empty number is none.
 */
export function changesTyped(settings: Settings, typed: Typed): readonly SettingsChange[] {
  const question = typed.question.trim();
  const agreement = typed.promises
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const words: SettingsChange = {
    ...(question === settings.question ? {} : { question }),
    ...(agreement.join('\n') === settings.agreement.lines.join('\n') ? {} : { agreement }),
  };
  const number = String(typed.capacity ?? '').trim();
  const capacity = Number(number);
  return [
    ...(Object.keys(words).length > 0 ? [words] : []),
    ...(number !== '' && Number.isInteger(capacity) && capacity !== settings.capacity ? [{ capacity }] : []),
  ];
}
