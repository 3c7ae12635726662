/**
 * The composition root: joins the server, the devices, the call and the pure state, and owns the end of every
 * subscription. The only place that carries intents out. Must never draw.
 */

import { mount } from 'svelte';
import { writable } from 'svelte/store';
import type { ChosenIds, Preview } from './circle/devices';
import type { Fault, FaultKind, Intent, Journey, Ticket } from './circle/journey';
import { faultForRefusal } from './circle/journey';
import { readInviteFragment, readPastedLink } from './circle/link';
import { checkName } from './circle/name';
import { marks } from './circle/person';
import { FIRST_JOIN_TRIES, REJOIN_FOR_MS, rejoinDelay } from './circle/rejoin';
import type { DeviceKind, RoomEvent, RoomState } from './circle/room';
import { enterRoom, nextTick, reduceRoom } from './circle/room';
import type { Session } from './circle/session';
import { comesStraightBack, idsIn, readSession, sessionOf } from './circle/session';
import type * as CallModule from './media/call';
import type { Call, CallEvent, Wish } from './media/call';
import { listDevices, watchDevices } from './media/devices';
import type { OwnTracks, PreviewDesk } from './media/preview';
import { openPreview } from './media/preview';
import { watchLevel } from './media/sound';
import { canTakePart } from './media/support';
import { keepAwake } from './media/wake';
import { join, openInvite } from './protocol/http';
import App from './view/App.svelte';
import type { Stage } from './view/stage';
import './view/style/index.css';

const SESSION_KEY = 'enza.session';
const noTracks: OwnTracks = { microphone: null, camera: null };
const noWish: Wish = { tracks: noTracks, open: [] };
const noIds: ChosenIds = { microphoneId: null, cameraId: null, speakerId: null };

/** One stay in the room, from the press on "enter" to the leaving. */
interface Stay {
  readonly ticket: Ticket;
  ids: ChosenIds;
  call: Call | null;
  /** Carried over from a lost call until the next one stands. */
  wish: Wish;
  over: boolean;
  /** Ends the wait before the next try. */
  hurry: () => void;
  readonly ends: (() => void)[];
}

function start(root: HTMLElement): void {
  let journey: Journey = { at: 'landing', notALink: false };
  const shown = writable<Journey>(journey);
  let desk: PreviewDesk | null = null;
  let stay: Stay | null = null;
  let tick: ReturnType<typeof setTimeout> | undefined;
  /** What "try again" on a fault does. */
  let again: () => void = () => undefined;

  const go = (next: Journey): void => {
    journey = next;
    shown.set(next);
  };
  const fail = (kind: FaultKind, detail: string | null, retry: () => void): void => {
    again = retry;
    go({ at: 'fault', fault: { kind, detail } });
  };
  const failWith = (fault: Fault, retry: () => void): void => {
    fail(fault.kind, fault.detail, retry);
  };

  // ---- The room's state and its clock ----

  const tell = (event: RoomEvent): void => {
    if (journey.at !== 'room') return;
    const room = reduceRoom(journey.room, event);
    if (room === journey.room) return;
    go({ ...journey, room });
    remember(room);
    clearTimeout(tick);
    const due = nextTick(room);
    if (due !== null) {
      tick = setTimeout(
        () => {
          tell({ type: 'tick', at: Date.now() });
        },
        Math.max(16, due - Date.now()),
      );
    }
  };

  // ---- What this tab remembers ----

  const keep = (session: Session | null): void => {
    try {
      if (session === null) sessionStorage.removeItem(SESSION_KEY);
      else sessionStorage.setItem(SESSION_KEY, JSON.stringify(session));
    } catch {
      // Without storage a reload shows the steps again; nothing else is lost.
    }
  };
  const kept = (): Session | null => {
    try {
      return readSession(sessionStorage.getItem(SESSION_KEY));
    } catch {
      return null;
    }
  };
  const remember = (room: RoomState): void => {
    if (stay === null) return;
    keep(sessionOf(stay.ticket, room, stay.ids, Date.now()));
  };

  // ---- From the link to the preview ----

  const openLink = async (): Promise<void> => {
    const invite = readInviteFragment(location.hash);
    if (!canTakePart()) {
      fail('old', null, () => undefined);
      return;
    }
    if (invite === null) {
      fail('no-invite', null, () => undefined);
      return;
    }
    const session = kept();
    if (session !== null && comesStraightBack(session, invite, Date.now())) {
      const ticket: Ticket = { invite, room: '', role: 'guest', name: session.name, mark: session.mark };
      enter(ticket, idsIn(session), {
        tracks: noTracks,
        open: [...(session.microphone ? ['microphone' as const] : []), ...(session.camera ? ['camera' as const] : [])],
      });
      return;
    }
    go({ at: 'opening' });
    const answer = await openInvite(invite);
    if (answer.kind === 'unreachable') {
      fail('unreachable', answer.detail, () => void openLink());
    } else if (answer.kind === 'refused') {
      failWith(faultForRefusal(answer.code, answer.message) ?? { kind: 'broken', detail: answer.message }, () =>
        void openLink(),
      );
    } else {
      const known = session?.invite === invite ? session : null;
      go({
        at: 'name',
        problem: null,
        ticket: {
          invite,
          room: answer.value.room,
          role: answer.value.role,
          name: known?.name ?? '',
          mark: known?.mark ?? marks[Math.floor(Math.random() * marks.length)] ?? 'moon',
        },
      });
    }
  };

  const showPreview = (ticket: Ticket): void => {
    // The call's code is fetched while people look at themselves.
    void import('./media/call').catch(() => undefined);
    const session = kept();
    desk = openPreview(session === null ? noIds : idsIn(session), (preview: Preview) => {
      if (journey.at === 'name' || journey.at === 'devices') go({ at: 'devices', ticket, preview });
    });
  };

  const closePreview = (): void => {
    desk?.close();
    desk = null;
  };

  // ---- The stay ----

  const enter = (ticket: Ticket, ids: ChosenIds, wish: Wish): void => {
    const here: Stay = { ticket, ids, call: null, wish, over: false, hurry: () => undefined, ends: [] };
    stay = here;
    go({ at: 'room', ticket, room: enterRoom(ticket, Date.now()) });
    for (const kind of ['microphone', 'camera'] as const) {
      if (wish.tracks[kind] !== null || wish.open.includes(kind)) tell({ type: 'device', kind, device: { at: 'opening' } });
    }
    here.ends.push(
      keepAwake(),
      watchDevices(() => void listInRoom()),
      listenTo(window, 'online', () => {
        here.hurry();
      }),
      listenTo(document, 'visibilitychange', () => {
        if (document.visibilityState === 'visible') here.hurry();
      }),
      listenTo(window, 'pagehide', () => {
        if (journey.at === 'room') remember(journey.room);
        // Said at once, or the others look at a still picture for seconds.
        void here.call?.leave();
        here.call = null;
      }),
      listenTo(window, 'pageshow', (event) => {
        // Back from the browser's page cache: the goodbye is taken back.
        if (event.persisted && !here.over) comeBack(here);
      }),
    );
    void stand(here, true);
  };

  const comeBack = (here: Stay): void => {
    if (journey.at === 'room') {
      const { microphone, camera } = journey.room;
      here.wish = {
        tracks: noTracks,
        open: [
          ...(microphone.at === 'on' ? ['microphone' as const] : []),
          ...(camera.at === 'on' ? ['camera' as const] : []),
        ],
      };
    }
    tell({ type: 'lost', at: Date.now() });
    void stand(here, false);
  };

  /** Tries until the call stands, the stay is over, or it is time to ask. */
  const stand = async (here: Stay, first: boolean): Promise<void> => {
    const begun = Date.now();
    let why: { kind: FaultKind; detail: string } = { kind: 'unreachable', detail: '' };
    for (let tried = 0; ; tried += 1) {
      if (tried > 0) {
        if (first ? tried >= FIRST_JOIN_TRIES : Date.now() - begun > REJOIN_FOR_MS) break;
        await pause(here, rejoinDelay(tried - 1, Math.random()));
      }
      if (isOver(here)) return;
      const result = await tryOnce(here);
      if (isOver(here) || result === 'stands' || result === 'final') return;
      why = result;
    }
    if (isOver(here)) return;
    endStay(here);
    fail(why.kind, why.detail, () => {
      enter(here.ticket, here.ids, { tracks: noTracks, open: wished(here.wish) });
    });
  };

  const tryOnce = async (here: Stay): Promise<'stands' | 'final' | { kind: FaultKind; detail: string }> => {
    const answer = await join(here.ticket.invite, here.ticket.name, here.ticket.mark);
    if (isOver(here)) return 'final';
    if (answer.kind === 'unreachable') return { kind: 'unreachable', detail: answer.detail };
    if (answer.kind === 'refused' && answer.code === 'too-many-attempts') return { kind: 'broken', detail: answer.message };
    if (answer.kind === 'refused') {
      endStay(here);
      const fault = faultForRefusal(answer.code, answer.message);
      if (fault === null) {
        go({ at: 'name', ticket: here.ticket, problem: answer.code === 'name-too-long' ? 'too-long' : 'missing' });
      } else {
        failWith(fault, () => void openLink());
      }
      return 'final';
    }
    const { token, role, room } = answer.value;
    if (journey.at === 'room') {
      const ticket: Ticket = { ...here.ticket, role, room };
      go({ ...journey, ticket, room: { ...journey.room, room, role } });
    }
    let media: typeof CallModule;
    try {
      media = await import('./media/call');
    } catch {
      return { kind: 'unreachable', detail: 'call.js' };
    }
    const connected = await media.connect(
      {
        url: location.origin.replace(/^http/, 'ws'),
        token,
        mark: here.ticket.mark,
        host: role === 'host',
        ids: here.ids,
      },
      (event) => {
        hear(here, event);
      },
    );
    if ('failure' in connected) return { kind: connected.failure, detail: connected.detail };
    if (isOver(here)) {
      await connected.call.leave();
      return 'final';
    }
    const { wish } = here;
    here.call = connected.call;
    here.wish = noWish;
    await connected.call.begin(wish);
    await listInRoom();
    return 'stands';
  };

  const hear = (here: Stay, event: CallEvent): void => {
    if (isOver(here)) return;
    const at = Date.now();
    switch (event.type) {
      case 'people':
      case 'device':
      case 'closed-by-host':
      case 'sound':
        tell(event);
        break;
      case 'voices':
        tell({ ...event, at });
        break;
      case 'live':
      case 'resuming':
        tell({ type: event.type, at });
        break;
      case 'ended':
        endStay(here);
        fail(event.ending, null, () => {
          enter(here.ticket, here.ids, noWish);
        });
        break;
      case 'lost':
        here.call = null;
        here.wish = { tracks: event.tracks, open: openWithout(event.tracks) };
        tell({ type: 'lost', at });
        void stand(here, false);
        break;
    }
  };

  /** Devices that were open but whose track did not outlive the call. */
  const openWithout = (tracks: OwnTracks): DeviceKind[] => {
    if (journey.at !== 'room') return [];
    const { room } = journey;
    return (['microphone', 'camera'] as const).filter((kind) => room[kind].at === 'on' && tracks[kind] === null);
  };

  const endStay = (here: Stay): void => {
    here.over = true;
    here.hurry();
    for (const end of here.ends) end();
    void here.call?.leave();
    here.call = null;
    here.wish.tracks.microphone?.stop();
    here.wish.tracks.camera?.stop();
    clearTimeout(tick);
    if (stay === here) stay = null;
    const session = kept();
    if (session !== null) keep({ ...session, entered: false });
  };

  const listInRoom = async (): Promise<void> => {
    if (stay === null) return;
    tell({ type: 'devices', devices: await listDevices(stay.ids) });
  };

  // ---- Intents ----

  const send = (intent: Intent): void => {
    switch (intent.type) {
      case 'paste': {
        const pasted = readPastedLink(intent.text, location.origin);
        if (pasted.kind === 'elsewhere') location.assign(pasted.address);
        else if (pasted.kind === 'none') go({ at: 'landing', notALink: true });
        else {
          history.pushState(null, '', `/join#${pasted.invite}`);
          void openLink();
        }
        break;
      }
      case 'name': {
        if (journey.at !== 'name') break;
        const checked = checkName(intent.typed);
        const ticket: Ticket = { ...journey.ticket, mark: intent.mark };
        if ('problem' in checked) go({ at: 'name', ticket, problem: checked.problem });
        else showPreview({ ...ticket, name: checked.name });
        break;
      }
      case 'back':
        if (journey.at !== 'devices') break;
        closePreview();
        go({ at: 'name', ticket: journey.ticket, problem: null });
        break;
      case 'enter': {
        if (journey.at !== 'devices' || desk === null) break;
        const ids = desk.ids();
        const { ticket } = journey;
        let tracks = noTracks;
        if (intent.listenOnly) desk.close();
        else tracks = desk.take();
        desk = null;
        enter(ticket, ids, { tracks, open: [] });
        break;
      }
      case 'toggle':
        if (journey.at === 'devices') void desk?.toggle(intent.kind);
        else if (journey.at === 'room') toggleInRoom(intent.kind);
        break;
      case 'reopen':
        void desk?.reopen();
        break;
      case 'choose':
        if (journey.at === 'devices') void desk?.choose(intent.device, intent.id);
        else if (stay !== null) {
          const key = `${intent.device}Id` as const;
          stay.ids = { ...stay.ids, [key]: intent.id };
          void stay.call?.choose(intent.device, intent.id).then(listInRoom);
        }
        break;
      case 'dismiss':
        tell(intent);
        break;
      case 'list-devices':
        void listInRoom();
        break;
      case 'test-sound':
        void desk?.ring().catch(() => undefined);
        break;
      case 'start-sound':
        void stay?.call?.startSound().catch(() => undefined);
        break;
      case 'reconnect-now':
        stay?.hurry();
        break;
      case 'leave':
        if (journey.at === 'room' && stay !== null) {
          const { ticket } = journey;
          endStay(stay);
          go({ at: 'left', ticket });
        }
        break;
      case 'again':
        if (journey.at === 'left') {
          const session = kept();
          enter(journey.ticket, session === null ? noIds : idsIn(session), noWish);
        }
        break;
      case 'retry':
        again();
        break;
      case 'home':
        history.pushState(null, '', '/');
        go({ at: 'landing', notALink: false });
        break;
    }
  };

  const toggleInRoom = (kind: DeviceKind): void => {
    if (journey.at !== 'room') return;
    const device = journey.room[kind];
    if (stay === null) return;
    if (stay.call === null) {
      // Without a line nothing can be opened, but closing works at once and holds when the line is back.
      if (device.at !== 'on' && device.at !== 'opening') return;
      const { tracks, open } = stay.wish;
      tracks[kind]?.stop();
      stay.wish = { tracks: { ...tracks, [kind]: null }, open: open.filter((wanted) => wanted !== kind) };
      tell({ type: 'device', kind, device: { at: 'off' } });
    } else if (device.at !== 'opening') {
      void stay.call.setDevice(kind, device.at !== 'on').then(listInRoom);
    }
  };

  // ---- What the screens draw with ----

  const stage: Stage = {
    preview: (element) => {
      const track = desk?.camera() ?? null;
      element.muted = true;
      element.srcObject = track === null ? null : new MediaStream([track]);
      void element.play().catch(() => undefined);
      return () => {
        element.srcObject = null;
      };
    },
    picture: (identity, element) => stay?.call?.draw(identity, element) ?? (() => undefined),
    level: (report) => {
      const track = desk?.microphone() ?? stay?.call?.microphoneTrack() ?? null;
      return track === null ? () => undefined : watchLevel(track, report);
    },
  };

  root.replaceChildren();
  mount(App, { target: root, props: { journey: shown, send, stage } });

  const route = (): void => {
    if (location.pathname === '/join') void openLink();
    else go({ at: 'landing', notALink: false });
  };
  window.addEventListener('popstate', () => {
    if (stay !== null) endStay(stay);
    closePreview();
    route();
  });
  window.addEventListener('hashchange', () => {
    // Another invite pasted into the address line of this very page.
    if (stay === null) {
      closePreview();
      route();
    }
  });
  route();
}

function isOver(stay: Stay): boolean {
  return stay.over;
}

function wished(wish: Wish): DeviceKind[] {
  return (['microphone', 'camera'] as const).filter((kind) => wish.tracks[kind] !== null || wish.open.includes(kind));
}

function pause(stay: Stay, milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    stay.hurry = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

function listenTo<K extends keyof WindowEventMap>(
  target: Window,
  type: K,
  heard: (event: WindowEventMap[K]) => void,
): () => void;
function listenTo<K extends keyof DocumentEventMap>(
  target: Document,
  type: K,
  heard: (event: DocumentEventMap[K]) => void,
): () => void;
function listenTo(target: EventTarget, type: string, heard: (event: never) => void): () => void {
  const listener = heard as (event: Event) => void;
  target.addEventListener(type, listener);
  return () => {
    target.removeEventListener(type, listener);
  };
}

const root = document.getElementById('app');
if (root !== null) start(root);
