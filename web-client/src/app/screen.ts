/**
 * What is on the screen now, and the clock of the room's state. Owns the journey; must never know network or devices.
 */

import type { Readable } from 'svelte/store';
import { writable } from 'svelte/store';
import type { Fault, Journey } from '../circle/journey';
import type { RoomEvent, RoomState } from '../circle/room';
import { nextTick, reduceRoom } from '../circle/room';

/** Shortest wait for a tick: one frame. */
const TICK_MIN_MS = 16;

export interface Screen {
  readonly shown: Readable<Journey>;
  now(): Journey;
  go(next: Journey): void;
  /** Shows what went wrong; `retry` is what "try again" does. */
  fail(fault: Fault, retry: () => void): void;
  retry(): void;
  /** Takes an event into the room's state; nothing where no room is shown. */
  tell(event: RoomEvent): void;
}

/** `changed` is called with every new state of the room. */
export function openScreen(changed: (room: RoomState) => void): Screen {
  let journey: Journey = { at: 'landing', notALink: false, makes: false };
  const shown = writable<Journey>(journey);
  let again: () => void = () => undefined;
  let tick: ReturnType<typeof setTimeout> | undefined;

  const go = (next: Journey): void => {
    journey = next;
    if (next.at !== 'room') clearTimeout(tick);
    shown.set(next);
  };
  const tell = (event: RoomEvent): void => {
    if (journey.at !== 'room') return;
    const room = reduceRoom(journey.room, event);
    if (room === journey.room) return;
    go({ ...journey, room });
    changed(room);
    clearTimeout(tick);
    const due = nextTick(room);
    if (due === null) return;
    tick = setTimeout(
      () => {
        tell({ type: 'tick', at: Date.now() });
      },
      Math.max(TICK_MIN_MS, due - Date.now()),
    );
  };
  return {
    shown,
    now: () => journey,
    go,
    fail: (fault, retry) => {
      again = retry;
      go({ at: 'fault', fault });
    },
    retry: () => {
      again();
    },
    tell,
  };
}
