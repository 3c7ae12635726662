/**
 * What one tab remembers so that a reload comes straight back to its seat.
 * Owns the form of that memory; where it is kept (sessionStorage) is the composition root's business.
 */

import type { ChosenIds } from './devices';
import type { Ticket, Way } from './journey';
import type { Mark } from './person';
import { readMark } from './person';
import type { RoomState } from './room';
import { isOpen } from './room';

export interface Session extends ChosenIds {
  readonly invite: string;
  /** The room's title, so that it stands in the head again at once. */
  readonly room: string;
  readonly name: string;
  readonly mark: Mark;
  /** Open when the page was last seen; a reload opens exactly these again and nothing else. */
  readonly microphone: boolean;
  readonly camera: boolean;
  /** The newest room token: with it a reload takes the same seat. */
  readonly token: string | null;
  readonly way: Way;
  /** The version of the agreement that was accepted. */
  readonly agreed: number | null;
  /** Whether this tab was in the room. */
  readonly entered: boolean;
  /** When it was last in the room, milliseconds. */
  readonly seenAt: number;
}

/**
 * A page that was in the room this recently goes straight back, devices as they were. Later than that (a browser
 * that restores yesterday's tabs) nobody may be surprised by an open camera: the steps are shown, the name kept.
 */
export const COME_STRAIGHT_BACK_MS = 2 * 60_000;

export function comesStraightBack(session: Session, invite: string, now: number): boolean {
  const age = now - session.seenAt;
  return session.entered && session.invite === invite && age >= 0 && age <= COME_STRAIGHT_BACK_MS;
}

/** What to remember of a stay. A device counts as open while it opens, and while the line is lost, if it was. */
export function sessionOf(
  ticket: Ticket,
  room: Pick<RoomState, 'microphone' | 'camera'>,
  ids: ChosenIds,
  stay: { readonly token: string | null; readonly way: Way },
  now: number,
): Session {
  return {
    invite: ticket.invite,
    room: ticket.room,
    name: ticket.name,
    mark: ticket.mark,
    microphone: isOpen(room.microphone),
    camera: isOpen(room.camera),
    microphoneId: ids.microphoneId,
    cameraId: ids.cameraId,
    speakerId: ids.speakerId,
    token: stay.token,
    way: stay.way,
    agreed: ticket.agreed,
    entered: true,
    seenAt: now,
  };
}

/** Only the devices of a session: nothing else of it may slip into what is remembered next. */
export function idsIn({ microphoneId, cameraId, speakerId }: Session): ChosenIds {
  return { microphoneId, cameraId, speakerId };
}

export function readSession(text: string | null): Session | null {
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const kept = value as Readonly<Record<string, unknown>>;
  const invite = kept['invite'];
  const name = kept['name'];
  const mark = readMark(kept['mark']);
  const seenAt = kept['seenAt'];
  if (typeof invite !== 'string' || typeof name !== 'string' || mark === null || typeof seenAt !== 'number') return null;
  return {
    invite,
    room: typeof kept['room'] === 'string' ? kept['room'] : '',
    name,
    mark,
    microphone: kept['microphone'] === true,
    camera: kept['camera'] === true,
    microphoneId: readId(kept['microphoneId']),
    cameraId: readId(kept['cameraId']),
    speakerId: readId(kept['speakerId']),
    token: readId(kept['token']),
    way: kept['way'] === 'listen' || kept['way'] === 'text' ? kept['way'] : 'full',
    agreed: typeof kept['agreed'] === 'number' ? kept['agreed'] : null,
    entered: kept['entered'] === true,
    seenAt,
  };
}

function readId(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}
