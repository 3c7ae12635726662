/**
 * The composition root: joins the screen, the arrival and the stay, and carries intents out. Must never draw.
 */

import { mount } from 'svelte';
import { beginArrival, noIds } from './app/arrival';
import { keepSession, keptSession } from './app/memory';
import { openScreen } from './app/screen';
import { openSettings } from './app/settings';
import type { Surroundings } from './app/stay';
import { noWish, Stay } from './app/stay';
import type { ChosenIds } from './circle/devices';
import type { Intent, Ticket } from './circle/journey';
import { readPastedLink } from './circle/link';
import { idsIn, sessionOf } from './circle/session';
import type { Wish } from './media/call';
import { ringBell, watchLevel } from './media/sound';
import { canShareScreen } from './media/support';
import App from './view/App.svelte';
import type { Stage } from './view/stage';
import './view/style/index.css';

function start(root: HTMLElement): void {
  let stay: Stay | null = null;

  const remember = (): void => {
    const journey = screen.now();
    if (stay === null || journey.at !== 'room') return;
    keepSession(sessionOf(stay.ticket, journey.room, stay.ids, Date.now()));
  };
  const screen = openScreen(remember);
  const settings = openSettings();
  const arrival = beginArrival(screen, settings.now, (ticket, ids, open) => {
    enter(ticket, ids, { ...noWish, open });
  });
  const enter = (ticket: Ticket, ids: ChosenIds, wish: Wish): void => {
    stay = new Stay(around, ticket, ids, wish);
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
  };

  // ---- Intents ----

  const send = (intent: Intent): void => {
    const journey = screen.now();
    switch (intent.type) {
      case 'paste': {
        const pasted = readPastedLink(intent.text, location.origin);
        if (pasted.kind === 'elsewhere') location.assign(pasted.address);
        else if (pasted.kind === 'none') screen.go({ at: 'landing', notALink: true });
        else {
          history.pushState(null, '', `/join#${pasted.invite}`);
          void arrival.openLink();
        }
        break;
      }
      case 'name':
        arrival.name(intent.typed, intent.mark);
        break;
      case 'back':
        arrival.back();
        break;
      case 'enter': {
        if (journey.at !== 'devices' || arrival.desk() === null) break;
        const { tracks, ids } = arrival.take(intent.listenOnly);
        enter(journey.ticket, ids, { tracks, open: [] });
        break;
      }
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
        break;
      }
      case 'reconnect-now':
        stay?.hurry();
        break;
      case 'leave':
        if (journey.at !== 'room' || stay === null) break;
        stay.end();
        screen.go({ at: 'left', ticket: journey.ticket });
        break;
      case 'again': {
        if (journey.at !== 'left') break;
        const session = keptSession();
        enter(journey.ticket, session === null ? noIds : idsIn(session), noWish);
        break;
      }
      case 'retry':
        screen.retry();
        break;
      case 'home':
        history.pushState(null, '', '/');
        screen.go({ at: 'landing', notALink: false });
        break;
    }
  };

  // ---- What the screens draw with ----

  const stage: Stage = {
    preview: (element) => {
      const track = arrival.desk()?.camera() ?? null;
      element.muted = true;
      element.srcObject = track === null ? null : new MediaStream([track]);
      void element.play().catch(() => undefined);
      return () => {
        element.srcObject = null;
      };
    },
    picture: (identity, source, element) => stay?.call?.draw(identity, source, element) ?? (() => undefined),
    canShareScreen: canShareScreen(),
    level: (report) => {
      const track = arrival.desk()?.microphone() ?? stay?.call?.microphoneTrack() ?? null;
      return track === null ? () => undefined : watchLevel(track, report);
    },
  };

  root.replaceChildren();
  mount(App, { target: root, props: { journey: screen.shown, settings: settings.shown, send, stage } });

  const route = (): void => {
    if (location.pathname === '/join') void arrival.openLink();
    else screen.go({ at: 'landing', notALink: false });
  };
  window.addEventListener('popstate', () => {
    stay?.end();
    arrival.close();
    route();
  });
  window.addEventListener('hashchange', () => {
    // Another invite pasted into the address line of this very page.
    if (stay === null) {
      arrival.close();
      route();
    }
  });
  route();
}

const root = document.getElementById('app');
if (root !== null) start(root);
