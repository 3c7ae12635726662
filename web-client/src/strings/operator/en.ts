/** Plain English, short words, sentence case. */
import type { Translated } from '../catalogue';
import type { ja } from './ja';

export const en: Translated<typeof ja> = {
  'op.home': 'To the first page',
};
