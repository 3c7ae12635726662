/** Lines that others add to a seat's menu: what a host may do with somebody. */
import type { Person } from '../circle/person';
import type { IconName } from './icons';

export interface SeatLine {
  readonly key: string;
  readonly icon: IconName;
  readonly words: string;
  /** Cannot be taken back lightly. */
  readonly grave?: boolean;
  /** Begins a new group, after a rule. */
  readonly apart?: boolean;
  readonly run: () => void;
}

export type LinesFor = (person: Person) => readonly SeatLine[];
