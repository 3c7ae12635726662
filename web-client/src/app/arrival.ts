/**
 * The way from the link to the preview: reads the invite, asks for a name, opens the devices for a look.
 * Owns the preview's devices until they are taken into the room.
 */

import type { ChosenIds, Preview } from '../circle/devices';
import type { Ticket } from '../circle/journey';
import { faultForRefusal } from '../circle/journey';
import { readInviteFragment } from '../circle/link';
import { checkName } from '../circle/name';
import type { Mark } from '../circle/person';
import { marks } from '../circle/person';
import type { DeviceKind } from '../circle/room';
import type { Session } from '../circle/session';
import { comesStraightBack, idsIn } from '../circle/session';
import type { Settings } from '../circle/settings';
import type { OwnTracks, PreviewDesk } from '../media/preview';
import { openPreview } from '../media/preview';
import { canTakePart } from '../media/support';
import { openInvite } from '../protocol/http';
import { keptSession } from './memory';
import type { Screen } from './screen';

export const noIds: ChosenIds = { microphoneId: null, cameraId: null, speakerId: null };
export const noTracks: OwnTracks = { microphone: null, camera: null };

export interface Arrival {
  /** Reads the invite in the page's address. */
  openLink(): Promise<void>;
  name(typed: string, mark: Mark): void;
  back(): void;
  /** The devices of the preview, while there is one. */
  desk(): PreviewDesk | null;
  /** Ends the preview and hands over what shall be open in the room. */
  take(listenOnly: boolean): { readonly tracks: OwnTracks; readonly ids: ChosenIds };
  /** Ends the preview and lets its devices go. */
  close(): void;
}

/** `comeBack` is called for a tab that was in the room a moment ago. */
export function beginArrival(
  screen: Screen,
  settings: () => Settings,
  comeBack: (ticket: Ticket, ids: ChosenIds, open: readonly DeviceKind[]) => void,
): Arrival {
  let desk: PreviewDesk | null = null;

  const openLink = async (): Promise<void> => {
    const invite = readInviteFragment(location.hash);
    if (!canTakePart()) {
      screen.fail({ kind: 'old', detail: null }, () => undefined);
      return;
    }
    if (invite === null) {
      screen.fail({ kind: 'no-invite', detail: null }, () => undefined);
      return;
    }
    const session = keptSession();
    if (session !== null && comesStraightBack(session, invite, Date.now())) {
      comeBack({ invite, room: '', role: 'guest', name: session.name, mark: session.mark }, idsIn(session), [
        ...(session.microphone ? ['microphone' as const] : []),
        ...(session.camera ? ['camera' as const] : []),
      ]);
      return;
    }
    screen.go({ at: 'opening' });
    const answer = await openInvite(invite);
    const retry = (): void => void openLink();
    if (answer.kind === 'unreachable') screen.fail({ kind: 'unreachable', detail: answer.detail }, retry);
    else if (answer.kind === 'refused') {
      screen.fail(faultForRefusal(answer.code, answer.message) ?? { kind: 'broken', detail: answer.message }, retry);
    } else {
      const { room, role } = answer.value;
      screen.go({ at: 'name', problem: null, ticket: { invite, room, role, ...nameBefore(session, invite) } });
    }
  };

  const showPreview = (ticket: Ticket): void => {
    // The call's code is fetched while people look at themselves.
    void import('../media/call').catch(() => undefined);
    const session = keptSession();
    desk = openPreview(session === null ? noIds : idsIn(session), settings(), (preview: Preview) => {
      const { at } = screen.now();
      if (at === 'name' || at === 'devices') screen.go({ at: 'devices', ticket, preview });
    });
  };

  const close = (): void => {
    desk?.close();
    desk = null;
  };

  return {
    openLink,
    name: (typed, mark) => {
      const journey = screen.now();
      if (journey.at !== 'name') return;
      const checked = checkName(typed);
      const ticket: Ticket = { ...journey.ticket, mark };
      if ('problem' in checked) screen.go({ at: 'name', ticket, problem: checked.problem });
      else showPreview({ ...ticket, name: checked.name });
    },
    back: () => {
      const journey = screen.now();
      if (journey.at !== 'devices') return;
      close();
      screen.go({ at: 'name', ticket: journey.ticket, problem: null });
    },
    desk: () => desk,
    take: (listenOnly) => {
      const ids = desk?.ids() ?? noIds;
      const tracks = listenOnly || desk === null ? noTracks : desk.take();
      if (listenOnly) desk?.close();
      desk = null;
      return { tracks, ids };
    },
    close,
  };
}

function nameBefore(session: Session | null, invite: string): { readonly name: string; readonly mark: Mark } {
  if (session?.invite === invite) return { name: session.name, mark: session.mark };
  return { name: '', mark: marks[Math.floor(Math.random() * marks.length)] ?? 'moon' };
}
