/**
 * The composition root: joins the screen, the arrival and the stay, and carries intents out. Must never draw.
 */

import type { Component } from 'svelte';
import { mount } from 'svelte';
import { beginArrival, noIds, noWish } from './app/arrival';
import { sitsElsewhere } from './app/elsewhere';
import { keepGuest, keepSession, keptGuest, keptSession } from './app/memory';
import { openScreen } from './app/screen';
import { openSettings } from './app/settings';
import type { Entry, Stay, Surroundings } from './app/stay';
import { guestOf } from './circle/guest';
import type { Intent } from './circle/journey';
import { fragmentOf, holdsKey, newKey, readPastedLink, withKey } from './circle/link';
import type { RoomState } from './circle/room';
import { idsIn, sessionOf } from './circle/session';
import { ringBell, watchLevel } from './media/sound';
import { canShareScreen } from './media/support';
import type { Addressee, Command } from './protocol/circle';
import { readPass } from './protocol/pass';
import { inviteDesk, makeRoom, roomDesk, roomsAreOpen } from './protocol/rooms';
import type { Answer } from './protocol/socket';
import { begin } from './strings';
import App from './view/App.svelte';
import type { Stage } from './view/stage';
import './view/style/index.css';

function commandHoldsKey(command: Command): boolean {
  if (command.type === 'tell-waiting') return holdsKey(command.line);
  if (command.type !== 'change-room') return false;
  const { question = '', agreement = [] } = command.set;
  return [question, ...agreement].some(holdsKey);
}

function start(root: HTMLElement): void {
  let stay: Stay | null = null;

  const remember = (): void => {
    const journey = screen.now();
    if (stay === null || journey.at !== 'room') return;
    const remembered = { token: stay.pass()?.token ?? null, way: stay.way };
    keepSession(sessionOf(stay.ticket, journey.room, stay.ids, remembered, Date.now()));
  };
  const screen = openScreen(remember);
  const settings = openSettings();
  const arrival = beginArrival(screen, settings.now, (ticket, session, open) => {
    const { way, token } = session;
    enter({ ticket, ids: idsIn(session), wish: { ...noWish, open }, way, pass: token === null ? null : readPass(token) });
  });
  const enter = (entry: Entry): void => {
    if (screen.now().at !== 'devices') screen.go({ at: 'opening' });
    import('./app/stay').then(
      (module) => {
        stay ??= new module.Stay(around, entry);
      },
      () => {
        screen.fail({ kind: 'unreachable', detail: 'stay.js' }, () => {
          enter(entry);
        });
      },
    );
  };
  const around: Surroundings = {
    screen,
    settings: settings.now,
    openLink: () => void arrival.openLink(),
    remember,
    over: (ended) => {
      if (stay === ended) stay = null;
      const session = keptSession();
      if (session !== null) keepSession({ ...session, entered: false });
    },
    enter,
    takeDevices: () => arrival.take('full'),
  };

  /** The first page; whether a room can be made here is asked once. */
  let makes = false;
  const home = (notALink: boolean): void => {
    screen.go({ at: 'landing', notALink, makes });
  };
  void roomsAreOpen().then((open) => {
    makes = open;
    const journey = screen.now();
    if (journey.at === 'landing') home(journey.notALink);
  });
  const make = async (title: string): Promise<void> => {
    if (title.trim() === '') {
      screen.go({ at: 'create', problem: 'missing' });
      return;
    }
    const answer = await makeRoom(title.trim(), location.href);
    if (answer.kind === 'ok') {
      const { name, hostLink, guestLink } = answer.value;
      // Made here and known to nobody else: whether the room asks for encryption or not, its links are ready for it.
      const key = newKey();
      screen.go({ at: 'made', room: { name, hostLink: withKey(hostLink, key), guestLink: withKey(guestLink, key) } });
    } else screen.go({ at: 'create', problem: answer.kind === 'refused' && answer.code === 'rooms-closed' ? 'closed' : 'failed' });
  };

  // ---- Intents ----

  const send = (intent: Intent): void => {
    const journey = screen.now();
    switch (intent.type) {
      case 'paste': {
        const pasted = readPastedLink(intent.text, location.origin);
        if (pasted.kind === 'elsewhere') location.assign(pasted.address);
        else if (pasted.kind === 'none') home(true);
        else {
          history.pushState(null, '', `/join${fragmentOf(pasted)}`);
          void arrival.openLink();
        }
        break;
      }
      case 'agree':
        if (journey.at === 'agreement' && stay !== null) {
          stay.agree(journey.agreement.version);
          if (stay.ticket.remembered) keepGuest(guestOf(keptGuest(), stay.ticket));
        } else arrival.agree();
        break;
      case 'name':
        arrival.name(intent);
        break;
      case 'forget':
        keepGuest(null);
        // The tab's own memory too; while we are inside it is how a reload finds its seat.
        if (stay === null) keepSession(null);
        break;
      case 'back':
        if (stay === null) arrival.back();
        else {
          const { tracks, ids } = arrival.take('full');
          stay.choseAnew(tracks, ids, stay.way);
        }
        break;
      case 'enter': {
        if (journey.at !== 'devices' || arrival.desk() === null) break;
        const { way } = intent;
        const { tracks, ids } = arrival.take(way);
        const { ticket } = journey;
        if (stay === null) enter({ ticket, ids, wish: { tracks, open: [] }, way, pass: arrival.pass(ticket) });
        else stay.choseAnew(tracks, ids, way);
        break;
      }
      case 'fix-devices':
        if (journey.at !== 'waiting' || stay === null) break;
        stay.letDevicesGo();
        arrival.look(journey.ticket);
        break;
      case 'add-media':
        stay?.addMedia();
        break;
      case 'command': {
        if (commandHoldsKey(intent.command)) {
          keepKey();
          break;
        }
        if (intent.command.type === 'change-room' && intent.command.set.encryption === true) stay?.makeKey();
        const before = journey.at === 'room' ? journey.room : null;
        void stay?.command(intent.command).then((answer) => {
          afterCommand(intent.command, answer, before);
        });
        break;
      }
      case 'step-away':
        stepAway(intent.away);
        break;
      case 'panel':
      case 'draft':
        screen.tell(intent);
        break;
      case 'write':
        void write(intent.to);
        break;
      case 'answer': {
        const asked = journey.at === 'room' ? journey.room.meeting.asked : null;
        screen.tell({ type: 'answered' });
        if (intent.open && (asked === 'microphone' || asked === 'camera')) stay?.open(asked);
        break;
      }
      case 'put-away':
        if (intent.what === 'keys') screen.tell({ type: 'keys-told' });
        else if (intent.what === 'held') screen.tell({ type: 'held-pressed', kind: null });
        else screen.tell({ type: 'told', told: null, at: Date.now() });
        break;
      case 'toggle':
        if (journey.at === 'devices') void arrival.desk()?.toggle(intent.kind);
        else stay?.toggle(intent.kind);
        break;
      case 'reopen':
        void arrival.desk()?.reopen();
        break;
      case 'choose':
        if (journey.at === 'devices') void arrival.desk()?.choose(intent.device, intent.id);
        else stay?.choose(intent.device, intent.id);
        break;
      case 'dismiss':
        screen.tell(intent);
        break;
      case 'list-devices':
        void stay?.listDevices();
        break;
      case 'test-sound':
        void (arrival.desk()?.ring() ?? ringBell(stay?.ids.speakerId ?? null)).catch(() => undefined);
        break;
      case 'start-sound':
        void stay?.call?.startSound().catch(() => undefined);
        break;
      case 'hold-microphone':
        stay?.hold(intent.on);
        break;
      case 'view':
      case 'pin':
        screen.tell(intent);
        break;
      case 'volume':
        screen.tell(intent);
        stay?.call?.setVolume(intent.identity, intent.volume);
        break;
      case 'share-screen':
        void stay?.call?.shareScreen(intent.on);
        break;
      case 'set': {
        const now = settings.change(intent.change);
        void stay?.call?.apply(now);
        if (intent.change.background !== undefined) void arrival.desk()?.setBackground(now.background);
        break;
      }
      case 'return':
        screen.tell({ type: 'interrupted', on: false });
        void stay?.call?.comeBack();
        break;
      case 'reconnect-now':
        stay?.hurry();
        break;
      case 'leave':
        if (!('ticket' in journey)) break;
        arrival.close();
        stay?.leave();
        screen.go({ at: 'left', ticket: journey.ticket });
        break;
      case 'again': {
        if (journey.at !== 'left') break;
        const { ticket } = journey;
        const session = keptSession();
        const ids = session === null ? noIds : idsIn(session);
        enter({ ticket, ids, wish: noWish, way: session?.way ?? 'full', pass: arrival.pass(ticket) });
        break;
      }
      case 'retry':
        screen.retry();
        break;
      case 'home':
        history.pushState(null, '', '/');
        home(false);
        break;
      case 'create':
        screen.go({ at: 'create', problem: null });
        break;
      case 'make-room':
        void make(intent.title);
        break;
    }
  };

  /** A refusal is told; what needs a word after it was done gets one. */
  const afterCommand = (command: Command, answer: Answer, before: RoomState | null): void => {
    const at = Date.now();
    if (answer.kind === 'refused') screen.tell({ type: 'told', told: { kind: 'refused', code: answer.code }, at });
    else if (answer.kind === 'lost') screen.tell({ type: 'told', told: { kind: 'refused', code: 'lost' }, at });
    else if (command.type === 'mute-all') {
      screen.tell({ type: 'told', told: { kind: 'all-muted', participants: mutedByAll() }, at });
    } else if (command.type === 'set-role' && command.role === 'host' && before !== null) {
      const one = [...before.people, ...before.listeners].find(({ identity }) => identity === command.participant);
      if (one === undefined) return;
      const { identity: participant, name, role: was } = one;
      screen.tell({ type: 'told', told: { kind: 'host-made', participant, name, was }, at });
    }
  };
  /** What is written goes through the server, and the key of the room's encryption must not. */
  const keepKey = (): void => {
    screen.tell({ type: 'told', told: { kind: 'refused', code: 'key-inside' }, at: Date.now() });
  };
  const mutedByAll = (): readonly string[] => {
    const journey = screen.now();
    if (journey.at !== 'room') return [];
    return journey.room.people.filter((person) => !person.me && !person.textOnly).map((person) => person.identity);
  };

  /** Somebody came into the room at home: works at once, whatever the line does. */
  const stepAway = (away: boolean): void => {
    if (stay === null) return;
    screen.tell({ type: 'stepped-away', away });
    if (away) stay.shut();
    stay.hush(away);
    void stay.command({ type: 'step-away', away });
  };

  /** What is written stays in its field until the circle has it. */
  const write = async (to: Addressee): Promise<void> => {
    const journey = screen.now();
    if (stay === null || journey.at !== 'room' || journey.room.meeting.sending) return;
    const body = journey.room.meeting.draft.trim();
    if (body === '') return;
    if (holdsKey(body)) {
      keepKey();
      return;
    }
    screen.tell({ type: 'sending', sending: true });
    const command: Command = { type: 'write', to, body };
    const answer = await stay.command(command);
    screen.tell({ type: 'sending', sending: false });
    if (answer.kind === 'ok') screen.tell({ type: 'draft', body: '' });
    else afterCommand(command, answer, null);
  };

  // ---- What the screens draw with ----

  const stage: Stage = {
    preview: (element) => {
      const track = arrival.desk()?.picture() ?? null;
      element.muted = true;
      element.srcObject = track === null ? null : new MediaStream([track]);
      void element.play().catch(() => undefined);
      return () => {
        element.srcObject = null;
      };
    },
    picture: (identity, source, element) => stay?.call?.draw(identity, source, element) ?? (() => undefined),
    canShareScreen: canShareScreen(),
    sitsElsewhere,
    invites: () => {
      const pass = stay?.pass() ?? null;
      return pass === null ? null : inviteDesk(
            pass.room,
            () => stay?.pass()?.token ?? '',
            (link) => withKey(new URL(link, location.href).href, stay?.ticket.key ?? null),
          );
    },
    ownLink: () => {
      const ticket = stay?.ticket ?? null;
      return ticket?.key == null ? null : new URL(`/join${fragmentOf(ticket)}`, location.href).href;
    },
    desk: () => {
      const pass = stay?.pass() ?? null;
      return pass === null ? null : roomDesk(pass.room, () => stay?.pass()?.token ?? '');
    },
    level: (report) => {
      const track = arrival.desk()?.microphone() ?? stay?.call?.microphoneTrack() ?? null;
      return track === null ? () => undefined : watchLevel(track, report);
    },
  };

  root.replaceChildren();
  mount(App, { target: root, props: { journey: screen.shown, settings: settings.shown, send, stage } });

  let routed = '';
  const route = (): void => {
    routed = location.href;
    if (location.pathname === '/join') void arrival.openLink();
    else home(false);
  };
  window.addEventListener('popstate', () => {
    stay?.end();
    arrival.close();
    route();
  });
  window.addEventListener('hashchange', () => {
    // Another invite pasted into the address line of this very page; most browsers tell of it above, too.
    if (stay === null && location.href !== routed) {
      arrival.close();
      route();
    }
  });
  route();
}

/**
 * Pages for whoever keeps the server, by their addresses; nothing of them comes with the first page. They are named here and
 * not in `operator.ts`, which makes the bundler leave what they share with the first page in its one file.
 */
const operatorPages: Readonly<Record<string, () => Promise<{ readonly default: Component }>>> = {
  '/admin': () => import('./view/operator/AdminPage.svelte'),
  '/doctor': () => import('./view/outside/DoctorPage.svelte'),
};

const root = document.getElementById('app');
const asked = operatorPages[location.pathname];
// Without words the sentences in index.html stay, which say what to do in both languages.
if (root !== null && asked !== undefined) {
  Promise.all([import('./operator'), asked()]).then(([{ openPage }, page]) => openPage(root, location.pathname, page.default)).catch(() => undefined);
} else if (root !== null) {
  begin().then(
    () => {
      start(root);
    },
    () => undefined,
  );
}
