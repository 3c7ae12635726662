/**
 * One stay in the room, from the press on "enter" to the leaving: joins, keeps the call standing, comes back when it
 * falls. Owns the call and everything that listens for its sake; must never draw.
 */

import type { ChosenIds } from '../circle/devices';
import type { ChosenDevice, FaultKind, Ticket } from '../circle/journey';
import { faultForRefusal } from '../circle/journey';
import { FIRST_JOIN_TRIES, REJOIN_FOR_MS, rejoinDelay } from '../circle/rejoin';
import type { DeviceKind } from '../circle/room';
import { enterRoom } from '../circle/room';
import type { Settings } from '../circle/settings';
import type * as CallModule from '../media/call';
import type { Call, CallEvent, Wish } from '../media/call';
import { listDevices, watchDevices } from '../media/devices';
import type { OwnTracks } from '../media/preview';
import { keepAwake } from '../media/wake';
import { join } from '../protocol/http';
import { noTracks } from './arrival';
import { listenTo } from './listen';
import type { Screen } from './screen';

export const noWish: Wish = { tracks: noTracks, open: [] };

/** What a stay asks of its surroundings. */
export interface Surroundings {
  readonly screen: Screen;
  readonly settings: () => Settings;
  /** Back to the link: the invite is read again. */
  readonly openLink: () => void;
  readonly remember: () => void;
  /** It is over: what the tab remembers no longer leads straight back. */
  readonly over: (stay: Stay) => void;
  /** Another stay with the same ticket. */
  readonly enter: (ticket: Ticket, ids: ChosenIds, wish: Wish) => void;
}

type Outcome = 'stands' | 'final' | { readonly kind: FaultKind; readonly detail: string };

export class Stay {
  readonly #around: Surroundings;
  readonly #screen: Screen;
  readonly #ends: (() => void)[];
  readonly ticket: Ticket;
  ids: ChosenIds;
  call: Call | null = null;
  /** Carried over from a lost call until the next one stands. */
  #wish: Wish;
  #over = false;
  /** Ends the wait before the next try. */
  #hurry: () => void = () => undefined;

  constructor(around: Surroundings, ticket: Ticket, ids: ChosenIds, wish: Wish) {
    this.#around = around;
    this.#screen = around.screen;
    this.ticket = ticket;
    this.ids = ids;
    this.#wish = wish;
    this.#screen.go({ at: 'room', ticket, room: enterRoom(ticket, Date.now()) });
    for (const kind of wished(wish)) this.#screen.tell({ type: 'device', kind, device: { at: 'opening' } });
    this.#ends = [
      keepAwake(),
      watchDevices(() => void this.listDevices()),
      listenTo(window, 'online', () => {
        this.#hurry();
      }),
      listenTo(document, 'visibilitychange', () => {
        if (document.visibilityState === 'visible') this.#hurry();
      }),
      listenTo(window, 'pagehide', () => {
        around.remember();
        // Said at once, or the others look at a still picture for seconds.
        void this.call?.leave();
        this.call = null;
      }),
      listenTo(window, 'pageshow', (event) => {
        // Back from the browser's page cache: the goodbye is taken back.
        if (event.persisted && !this.#isOver()) this.#comeBack();
      }),
    ];
    void this.#stand(true);
  }

  hurry(): void {
    this.#hurry();
  }

  end(): void {
    this.#over = true;
    this.#hurry();
    for (const end of this.#ends) end();
    void this.call?.leave();
    this.call = null;
    this.#wish.tracks.microphone?.stop();
    this.#wish.tracks.camera?.stop();
    this.#around.over(this);
  }

  toggle(kind: DeviceKind): void {
    const journey = this.#screen.now();
    if (journey.at !== 'room') return;
    const device = journey.room[kind];
    if (this.call === null) {
      // Without a line nothing can be opened, but closing works at once and holds when the line is back.
      if (device.at !== 'on' && device.at !== 'opening') return;
      const { tracks, open } = this.#wish;
      tracks[kind]?.stop();
      this.#wish = { tracks: { ...tracks, [kind]: null }, open: open.filter((wanted) => wanted !== kind) };
      this.#screen.tell({ type: 'device', kind, device: { at: 'off' } });
    } else if (device.at !== 'opening') {
      void this.call.setDevice(kind, device.at !== 'on').then(() => this.listDevices());
    }
  }

  /** Talking while a key is held. What is not open when the key is let go stays closed. */
  hold(on: boolean): void {
    void this.call?.setDevice('microphone', on).then(() => this.listDevices());
  }

  choose(device: ChosenDevice, id: string): void {
    this.ids = { ...this.ids, [`${device}Id` as const]: id };
    void this.call?.choose(device, id).then(() => this.listDevices());
  }

  async listDevices(): Promise<void> {
    const devices = await listDevices(this.ids);
    if (!this.#isOver()) this.#screen.tell({ type: 'devices', devices });
  }

  /** A getter would let the compiler believe that awaiting changes nothing. */
  #isOver(): boolean {
    return this.#over;
  }

  #comeBack(): void {
    const journey = this.#screen.now();
    if (journey.at === 'room') {
      const { microphone, camera } = journey.room;
      this.#wish = {
        tracks: noTracks,
        open: [
          ...(microphone.at === 'on' ? ['microphone' as const] : []),
          ...(camera.at === 'on' ? ['camera' as const] : []),
        ],
      };
    }
    this.#screen.tell({ type: 'lost', at: Date.now() });
    void this.#stand(false);
  }

  /** Tries until the call stands, the stay is over, or it is time to ask. */
  async #stand(first: boolean): Promise<void> {
    const begun = Date.now();
    let why: { kind: FaultKind; detail: string } = { kind: 'unreachable', detail: '' };
    for (let tried = 0; ; tried += 1) {
      if (tried > 0) {
        if (first ? tried >= FIRST_JOIN_TRIES : Date.now() - begun > REJOIN_FOR_MS) break;
        await this.#pause(rejoinDelay(tried - 1, Math.random()));
      }
      if (this.#isOver()) return;
      const result = await this.#tryOnce();
      if (this.#isOver() || result === 'stands' || result === 'final') return;
      why = result;
    }
    if (this.#isOver()) return;
    const wish: Wish = { tracks: noTracks, open: wished(this.#wish) };
    this.end();
    this.#screen.fail(why, () => {
      this.#around.enter(this.ticket, this.ids, wish);
    });
  }

  async #tryOnce(): Promise<Outcome> {
    const answer = await join(this.ticket.invite, this.ticket.name, this.ticket.mark);
    if (this.#isOver()) return 'final';
    if (answer.kind === 'unreachable') return { kind: 'unreachable', detail: answer.detail };
    if (answer.kind === 'refused' && answer.code === 'too-many-attempts') return { kind: 'broken', detail: answer.message };
    if (answer.kind === 'refused') {
      this.end();
      const fault = faultForRefusal(answer.code, answer.message);
      if (fault === null) {
        const problem = answer.code === 'name-too-long' ? 'too-long' : 'missing';
        this.#screen.go({ at: 'name', ticket: this.ticket, problem });
      } else {
        this.#screen.fail(fault, this.#around.openLink);
      }
      return 'final';
    }
    const { token, role, room } = answer.value;
    const journey = this.#screen.now();
    if (journey.at === 'room') {
      const ticket: Ticket = { ...this.ticket, role, room };
      this.#screen.go({ ...journey, ticket, room: { ...journey.room, room, role } });
    }
    let media: typeof CallModule;
    try {
      media = await import('../media/call');
    } catch {
      return { kind: 'unreachable', detail: 'call.js' };
    }
    const connected = await media.connect(
      {
        url: location.origin.replace(/^http/, 'ws'),
        token,
        mark: this.ticket.mark,
        host: role === 'host',
        ids: this.ids,
        settings: this.#around.settings(),
        quieter: journey.at === 'room' ? journey.room.looking.quieter : new Map(),
      },
      (event) => {
        this.#hear(event);
      },
    );
    if ('failure' in connected) return { kind: connected.failure, detail: connected.detail };
    if (this.#isOver()) {
      await connected.call.leave();
      return 'final';
    }
    const wish = this.#wish;
    this.call = connected.call;
    this.#wish = noWish;
    await connected.call.begin(wish);
    await this.listDevices();
    return 'stands';
  }

  #hear(event: CallEvent): void {
    if (this.#isOver()) return;
    const at = Date.now();
    switch (event.type) {
      case 'people':
      case 'device':
      case 'closed-by-host':
      case 'sound':
      case 'screen':
        this.#screen.tell(event);
        break;
      case 'voices':
        this.#screen.tell({ ...event, at });
        break;
      case 'live':
      case 'resuming':
        this.#screen.tell({ type: event.type, at });
        break;
      case 'ended':
        this.end();
        this.#screen.fail({ kind: event.ending, detail: null }, () => {
          this.#around.enter(this.ticket, this.ids, noWish);
        });
        break;
      case 'lost':
        this.call = null;
        this.#wish = { tracks: event.tracks, open: this.#openWithout(event.tracks) };
        this.#screen.tell({ type: 'lost', at });
        void this.#stand(false);
        break;
    }
  }

  /** Devices that were open but whose track did not outlive the call. */
  #openWithout(tracks: OwnTracks): DeviceKind[] {
    const journey = this.#screen.now();
    if (journey.at !== 'room') return [];
    const { room } = journey;
    return (['microphone', 'camera'] as const).filter((kind) => room[kind].at === 'on' && tracks[kind] === null);
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function wished(wish: Wish): DeviceKind[] {
  return (['microphone', 'camera'] as const).filter((kind) => wish.tracks[kind] !== null || wish.open.includes(kind));
}
