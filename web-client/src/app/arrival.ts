/**
 * The way from the link to the preview: reads the invite, asks for a name, opens the devices for a look.
 * Owns the preview's devices until they are taken into the room.
 */

import type { ChosenIds, Preview } from '../circle/devices';
import { accepted, guestOf } from '../circle/guest';
import type { Intent, Ticket, Way } from '../circle/journey';
import { faultForRefusal } from '../circle/journey';
import { readFragment } from '../circle/link';
import { checkName } from '../circle/name';
import { marks } from '../circle/person';
import type { DeviceKind } from '../circle/room';
import type { Session } from '../circle/session';
import { comesStraightBack, idsIn } from '../circle/session';
import type { Settings } from '../circle/settings';
import type { OwnTracks, PreviewDesk } from '../media/preview';
import { canTakePart } from '../media/support';
import type { Wish } from '../media/call';
import type { Agreement } from '../protocol/circle';
import { openInvite } from '../protocol/http';
import type { Pass } from '../protocol/pass';
import { readPass } from '../protocol/pass';
import { EarlyPass } from './early_pass';
import { keepGuest, keptGuest, keptSession } from './memory';
import type { Screen } from './screen';

export const noIds: ChosenIds = { microphoneId: null, cameraId: null, speakerId: null };
export const noTracks: OwnTracks = { microphone: null, camera: null };
export const noWish: Wish = { tracks: noTracks, open: [] };

/** What somebody says about themselves. */
export type Given = Omit<Extract<Intent, { readonly type: 'name' }>, 'type'>;

export interface Arrival {
  /** Reads the invite in the page's address. */
  openLink(): Promise<void>;
  agree(): void;
  name(given: Given): void;
  /** Camera and microphone once more, for somebody who waits before the door. */
  look(ticket: Ticket): void;
  back(): void;
  /** With what we go in: the seat that this tab had, if the link is the same, or what was asked for meanwhile. */
  pass(ticket: Ticket): Pass | null;
  /** The devices of the preview, while there is one. */
  desk(): PreviewDesk | null;
  /** Ends the preview and hands over what shall be open in the room. */
  take(way: Way): { readonly tracks: OwnTracks; readonly ids: ChosenIds };
  /** Ends the preview and lets its devices go. */
  close(): void;
}

/** `comeBack` is called for a tab that was in the room a moment ago. */
export function beginArrival(
  screen: Screen,
  settings: () => Settings,
  comeBack: (ticket: Ticket, session: Session, open: readonly DeviceKind[]) => void,
): Arrival {
  let desk: PreviewDesk | null = null;
  const early = new EarlyPass();
  /** Counts looks at the devices: what belongs to an earlier one comes too late. */
  let looks = 0;

  const openLink = async (): Promise<void> => {
    close();
    const fragment = readFragment(location.hash);
    if (!canTakePart()) {
      screen.fail({ kind: 'old', detail: null }, () => undefined);
      return;
    }
    if (fragment === null) {
      screen.fail({ kind: 'no-invite', detail: null }, () => undefined);
      return;
    }
    const { invite, key } = fragment;
    const session = keptSession();
    if (session !== null && comesStraightBack(session, invite, Date.now())) {
      const { room, name, mark, agreed } = session;
      comeBack(
        { invite, room, role: 'guest', name, mark, agreement: null, agreed, lobby: false, historyDays: null, encryption: null, counted: false, passphrase: null, remembered: keptGuest() !== null, key },
        session,
        [...(session.microphone ? ['microphone' as const] : []), ...(session.camera ? ['camera' as const] : [])],
      );
      return;
    }
    screen.go({ at: 'opening' });
    const answer = await openInvite(invite);
    const retry = (): void => void openLink();
    if (answer.kind === 'unreachable') screen.fail({ kind: 'unreachable', detail: answer.detail }, retry);
    else if (answer.kind === 'refused') {
      screen.fail(faultForRefusal(answer.code, answer.message) ?? { kind: 'broken', detail: answer.message }, retry);
    } else {
      const { room, role, agreement, lobby, passphrase, historyDays, encryption, counted } = answer.value;
      const before = knownBefore(session, invite, room, agreement);
      const ticket: Ticket = {
        invite,
        room,
        role,
        agreement,
        lobby,
        historyDays,
        encryption,
        counted,
        passphrase: passphrase ? '' : null,
        key,
        ...before,
      };
      if (agreement !== null && agreement.version !== before.agreed) screen.go({ at: 'agreement', ticket, agreement });
      else screen.go({ at: 'name', problem: null, ticket });
    }
  };

  const goesOn = (): boolean => ['name', 'devices', 'waiting'].includes(screen.now().at);

  const showPreview = (ticket: Ticket): void => {
    // What the room needs is fetched while people look at themselves.
    void import('./stay').catch(() => undefined);
    void import('../media/call').catch(() => undefined);
    const session = keptSession();
    const look = looks;
    import('../media/preview').then(
      ({ openPreview }) => {
        if (look !== looks || !goesOn() || desk !== null) return;
        desk = openPreview(session === null ? noIds : idsIn(session), settings(), (preview: Preview) => {
          if (goesOn()) screen.go({ at: 'devices', ticket, preview });
        });
      },
      () => {
        screen.fail({ kind: 'unreachable', detail: 'preview.js' }, () => {
          screen.go({ at: 'name', ticket, problem: null });
        });
      },
    );
  };

  const close = (): void => {
    looks += 1;
    early.forget();
    desk?.close();
    desk = null;
  };

  return {
    openLink,
    agree: () => {
      const journey = screen.now();
      if (journey.at !== 'agreement') return;
      const ticket: Ticket = { ...journey.ticket, agreement: journey.agreement, agreed: journey.agreement.version };
      screen.go({ at: 'name', problem: null, ticket });
    },
    look: showPreview,
    name: ({ typed, mark, passphrase, remember }) => {
      const journey = screen.now();
      if (journey.at !== 'name') return;
      const checked = checkName(typed);
      const ticket: Ticket = { ...journey.ticket, mark, passphrase, remembered: remember };
      if (passphrase === '') screen.go({ at: 'name', ticket: { ...ticket, name: typed }, problem: 'passphrase-needed' });
      else if ('problem' in checked) screen.go({ at: 'name', ticket, problem: checked.problem });
      else {
        const named = { ...ticket, name: checked.name };
        keepGuest(remember ? guestOf(keptGuest(), named) : null);
        if (passBefore(named) === null) {
          const look = looks;
          void early.ask(named, () => {
            if (look !== looks || !goesOn()) return;
            close();
            screen.go({ at: 'name', ticket: { ...named, passphrase: '' }, problem: 'passphrase-wrong' });
          });
        }
        showPreview(named);
      }
    },
    back: () => {
      const journey = screen.now();
      if (journey.at !== 'devices') return;
      close();
      screen.go({ at: 'name', ticket: journey.ticket, problem: null });
    },
    desk: () => desk,
    pass: (ticket) => passBefore(ticket) ?? early.take(ticket),
    take: (way) => {
      const ids = desk?.ids() ?? noIds;
      const tracks = way === 'full' && desk !== null ? desk.take() : noTracks;
      if (way !== 'full') desk?.close();
      desk = null;
      return { tracks, ids };
    },
    close,
  };
}

function passBefore(ticket: Ticket): Pass | null {
  const session = keptSession();
  return session?.token == null || session.invite !== ticket.invite || session.name !== ticket.name
    ? null
    : readPass(session.token);
}

/** From this tab, else from what this browser was asked to remember. */
function knownBefore(
  session: Session | null,
  invite: string,
  room: string,
  agreement: Agreement | null,
): Pick<Ticket, 'name' | 'mark' | 'agreed' | 'remembered'> {
  const guest = keptGuest();
  const remembered = guest !== null;
  if (session?.invite === invite) return { name: session.name, mark: session.mark, agreed: session.agreed, remembered };
  if (guest === null) {
    return { name: '', agreed: null, mark: marks[Math.floor(Math.random() * marks.length)] ?? 'moon', remembered };
  }
  const agreed = agreement !== null && accepted(guest, room, agreement) ? agreement.version : null;
  return { name: guest.name, mark: guest.mark, agreed, remembered };
}
