/**
 * One stay in the room, from the press on "enter" to the leaving: stands before the door until the circle lets us in,
 * then keeps the call standing and comes back when it falls. Owns the door, the circle's line, the call and everything
 * that listens for their sake; must never draw.
 */

import type { ChosenIds } from '../circle/devices';
import type { ChosenDevice, Fault, FaultKind, Ticket, Way } from '../circle/journey';
import { faultForDoor, faultForRefusal } from '../circle/journey';
import { moderates } from '../circle/table';
import { FIRST_JOIN_TRIES, REJOIN_FOR_MS, rejoinDelay } from '../circle/rejoin';
import type { ByTextWhy, DeviceKind, RoomState, Unsealed } from '../circle/room';
import { enterRoom, isOpen, unsealed } from '../circle/room';
import type { Settings } from '../circle/settings';
import type * as CallModule from '../media/call';
import type { Call, CallEvent, Connected, Wish } from '../media/contract';
import { listDevices, watchDevices } from '../media/devices';
import type { OwnTracks } from '../media/preview';
import { canSeal } from '../media/support';
import { keepAwake } from '../media/wake';
import type { Command, Message, Said } from '../protocol/circle';
import type { RefusalCode } from '../protocol/http';
import type { Pass } from '../protocol/pass';
import type { Answer } from '../protocol/socket';
import { noTracks, noWish } from './arrival';
import { CircleLine, PASS_SPARE_MS } from './circle_line';
import { Door } from './door';
import { sitHere } from './elsewhere';
import { EarlyCall } from './early_call';
import { listenTo } from './listen';
import type { Screen } from './screen';

/** After the call said that we were removed, the circle's own word is waited for: it says more. */
const WORD_WITHIN_MS = 1_500;
/** How long leaving waits for the circle to hear of it. */
const GOODBYE_WITHIN_MS = 800;

/** With what one comes in. */
export interface Entry {
  readonly ticket: Ticket;
  readonly ids: ChosenIds;
  readonly wish: Wish;
  readonly way: Way;
  /** From an earlier stay: the same seat again. */
  readonly pass: Pass | null;
}

/** What a stay asks of its surroundings. */
export interface Surroundings {
  readonly screen: Screen;
  readonly settings: () => Settings;
  /** Back to the link: the invite is read again. */
  readonly openLink: () => void;
  readonly remember: () => void;
  /** It is over: what the tab remembers no longer leads straight back. */
  readonly over: (stay: Stay) => void;
  readonly enter: (entry: Entry) => void;
  /** The circle lets us in while we look at our devices: what shall be open. */
  readonly takeDevices: () => { readonly tracks: OwnTracks; readonly ids: ChosenIds };
}

type Outcome = 'stands' | 'final' | { readonly kind: FaultKind; readonly detail: string };

export class Stay {
  readonly #around: Surroundings;
  readonly #screen: Screen;
  readonly #ends: (() => void)[];
  readonly #door: Door;
  readonly #circle: CircleLine;
  ids: ChosenIds;
  call: Call | null = null;
  #way: Way;
  /** Carried over from a lost call until the next one stands. */
  #wish: Wish;
  /** Dialled before the circle let us in. */
  #early: EarlyCall | null = null;
  #dialled = false;
  /** The circle let us in, so that the call is ours to keep standing. */
  #inside = false;
  #over = false;
  /** Ends the wait before the next try. */
  #hurry: () => void = () => undefined;

  constructor(around: Surroundings, { ticket, ids, wish, way, pass }: Entry) {
    this.#around = around;
    this.#screen = around.screen;
    this.#door = new Door(around.screen, ticket, (command) => void this.#circle.send(command));
    this.ids = ids;
    this.#wish = wish;
    this.#way = way;
    if (this.#door.isKept()) this.#door.wait();
    else this.#showRoom();
    this.#circle = new CircleLine(ticket, pass, {
      admitted: (admission) => {
        this.#door.admitted(admission);
      },
      passed: () => {
        around.remember();
        this.#dialEarly();
      },
      hear: (message) => {
        if (!this.#isOver()) this.#hearCircle(message);
      },
      line: (stands) => {
        this.#screen.tell({ type: 'circle-line', stands });
      },
      refused: (code, message) => {
        this.#turnedAway(code, message);
      },
      failed: (detail) => {
        this.#fail({ kind: 'unreachable', detail });
      },
    });
    this.#dialEarly();
    this.#ends = [
      sitHere(this.ticket.invite),
      keepAwake(),
      watchDevices(() => void this.listDevices()),
      listenTo(window, 'offline', () => {
        this.#circle.drop();
      }),
      listenTo(window, 'online', () => {
        this.hurry();
      }),
      listenTo(document, 'visibilitychange', () => {
        if (document.visibilityState === 'visible') this.hurry();
      }),
      listenTo(window, 'pagehide', () => {
        around.remember();
        // Said at once, or the others look at a still picture for seconds. The seat stays ours.
        void this.call?.leave();
        this.call = null;
        this.#dropEarly();
        this.#circle.close();
      }),
      listenTo(window, 'pageshow', (event) => {
        // Back from the browser's page cache, with every line closed.
        if (event.persisted) location.reload();
      }),
    ];
  }

  get ticket(): Ticket {
    return this.#door.ticket;
  }

  get way(): Way {
    return this.#way;
  }

  pass(): Pass | null {
    return this.#circle.pass();
  }

  command(command: Command): Promise<Answer> {
    return this.#circle.send(command);
  }

  /** Says goodbye to the circle, then ends. */
  leave(): void {
    const done = this.#circle.send({ type: 'leave' });
    void Promise.race([done, new Promise((resolve) => setTimeout(resolve, GOODBYE_WITHIN_MS))]).then(() => {
      this.#circle.close();
    });
    this.#finish();
  }

  hurry(): void {
    this.#hurry();
    this.#circle.hurry();
  }

  end(): void {
    this.#circle.close();
    this.#finish();
  }

  /** From text to sound and picture. */
  addMedia(): void {
    const journey = this.#screen.now();
    if (journey.at !== 'room' || journey.room.line.at !== 'text') return;
    this.#way = 'full';
    this.#screen.tell({ type: 'connecting' });
    void this.#stand(true);
  }

  /** What was chosen anew while waiting before the door. */
  choseAnew(tracks: OwnTracks, ids: ChosenIds, way: Way): void {
    this.ids = ids;
    this.#way = way;
    this.#wish = { tracks, open: [] };
    const journey = this.#screen.now();
    if (journey.at === 'devices' && !this.#inside) this.#door.wait();
  }

  /** The devices are looked at once more: the preview opens its own. */
  letDevicesGo(): void {
    this.#wish.tracks.microphone?.stop();
    this.#wish.tracks.camera?.stop();
    this.#wish = noWish;
  }

  #finish(): void {
    this.#over = true;
    this.#dropEarly();
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
    const held = journey.room.people.some((person) => person.me && person.held.includes(kind));
    if (held && device.at !== 'on') {
      this.#screen.tell({ type: 'held-pressed', kind });
    } else if (this.call === null) {
      // Without a line nothing can be opened, but closing works at once and holds when the line is back.
      if (!isOpen(device)) return;
      const { tracks, open } = this.#wish;
      tracks[kind]?.stop();
      this.#wish = { tracks: { ...tracks, [kind]: null }, open: open.filter((wanted) => wanted !== kind) };
      this.#screen.tell({ type: 'device', kind, device: { at: 'off' } });
    } else if (device.at !== 'opening' || kind === 'camera') {
      void this.call.setDevice(kind, !isOpen(device)).then(() => this.listDevices());
    }
  }

  /** Talking while a key is held. What is not open when the key is let go stays closed. */
  hold(on: boolean): void {
    void this.call?.setDevice('microphone', on).then(() => this.listDevices());
  }

  /** Opens a device that a host asks for; its owner has just said yes. */
  open(kind: DeviceKind): void {
    void this.call?.setDevice(kind, true).then(() => this.listDevices());
  }

  /** Microphone and camera off, at once. */
  shut(): void {
    for (const kind of ['microphone', 'camera'] as const) {
      const journey = this.#screen.now();
      if (journey.at !== 'room' || !isOpen(journey.room[kind])) continue;
      if (this.call === null) this.toggle(kind);
      else void this.call.setDevice(kind, false);
    }
  }

  /** Nobody is heard here either. */
  hush(quiet: boolean): void {
    this.call?.hush(quiet);
  }

  /** A call that is new, or a circle that knows it better: nobody is heard behind the cover. */
  #hushIfAway(): void {
    const journey = this.#screen.now();
    if (journey.at === 'room') this.hush(journey.room.meeting.away);
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

  // ---- The door and the circle ----

  #showRoom(): void {
    this.#screen.go({ at: 'room', ticket: this.ticket, room: enterRoom(this.ticket, Date.now()) });
    if (this.#way === 'text') this.#screen.tell({ type: 'text-only', why: 'chosen' });
    for (const kind of wished(this.#wish)) this.#screen.tell({ type: 'device', kind, device: { at: 'opening' } });
  }

  #hearCircle(message: Message): void {
    switch (message.type) {
      case 'waiting':
        this.#stepOut();
        this.#door.stand(message);
        break;
      case 'line':
        this.#door.hearLine(message);
        break;
      case 'state':
        this.#comeIn(message);
        break;
      case 'refused':
        this.#fail(faultForDoor(message.code, message.message));
        break;
      case 'elsewhere':
        this.#fail({ kind: 'twice', detail: null });
        break;
      case 'removed':
        this.#fail({ kind: message.banned ? 'banned' : 'removed', detail: null });
        break;
      case 'ended':
        this.#fail({ kind: 'ended', detail: null });
        break;
      case 'settings': {
        const before = this.#encryption();
        this.#screen.tell({ type: 'circle', message, at: Date.now() });
        if (before !== null && before !== this.#encryption()) this.#callAnew();
        break;
      }
      default:
        this.#screen.tell({ type: 'circle', message, at: Date.now() });
        if (message.type === 'away') this.#hushIfAway();
    }
  }

  /** The agreement was accepted in front of the door. */
  agree(version: number): void {
    this.#door.agree(version);
    this.#showRoom();
  }

  #comeIn(message: Said<'state'>): void {
    const journey = this.#screen.now();
    if (journey.at === 'devices') {
      const { tracks, ids } = this.#around.takeDevices();
      this.choseAnew(tracks, ids, 'full');
    }
    if (journey.at !== 'room') this.#showRoom();
    const before = this.#encryption();
    this.#screen.tell({ type: 'circle', message, at: Date.now() });
    this.#hushIfAway();
    if (this.#inside) {
      if (before !== null && before !== this.#encryption()) this.#callAnew();
      return;
    }
    this.#inside = true;
    // From here on the call is dialled where it is kept standing.
    this.#dialled = true;
    if (this.#way !== 'text') void this.#stand(true);
  }

  /** Before the door there is no call. What was open opens again inside. */
  #stepOut(): void {
    this.#inside = false;
    this.#dropEarly();
    const journey = this.#screen.now();
    if (journey.at === 'room' && this.call !== null) this.#keepOpen(journey.room);
  }

  #turnedAway(code: RefusalCode, message: string): void {
    const fault = faultForRefusal(code, message);
    if (fault !== null) {
      this.#fail(fault, this.#around.openLink);
      return;
    }
    this.end();
    this.#door.askAgain(code);
  }

  #fail(fault: Fault, retry?: () => void): void {
    if (this.#isOver()) return;
    const wish: Wish = { tracks: noTracks, open: wished(this.#wish) };
    // A seat that is taken away is not asked for again; every other one is.
    const pass = fault.kind === 'removed' || fault.kind === 'ended' ? null : this.pass();
    this.end();
    this.#screen.fail(
      fault,
      retry ??
        (() => {
          this.#around.enter({ ticket: this.ticket, ids: this.ids, wish, way: this.#way, pass });
        }),
    );
  }

  // ---- The call ----

  /** Tries until the call stands, the stay is over, or it is time to go on by text. */
  async #stand(first: boolean): Promise<void> {
    if (!this.#withoutSeal()) await this.#standNow(first);
  }

  /** Whether the room asks for it; null while that is not known. */
  #encryption(): boolean | null {
    const journey = this.#screen.now();
    return journey.at === 'room' ? (journey.room.meeting.table?.settings.encryption ?? null) : null;
  }

  #noSeal(): Unsealed | null {
    return unsealed(this.#encryption() === true, this.ticket.key, canSeal());
  }

  /** By text from here on, where the room's encryption cannot be had. */
  #withoutSeal(): boolean {
    const why = this.#noSeal();
    if (why !== null) this.#byText(why);
    return why !== null;
  }

  #byText(why: ByTextWhy): void {
    this.#wish.tracks.microphone?.stop();
    this.#wish.tracks.camera?.stop();
    this.#wish = { tracks: noTracks, open: wished(this.#wish) };
    this.#way = 'text';
    this.#screen.tell({ type: 'text-only', why });
  }

  makeKey(): void {
    this.#door.makeKey();
  }

  /** The room asks for encryption now, or no more: the call is made anew, with what was open. */
  #callAnew(): void {
    const journey = this.#screen.now();
    if (journey.at !== 'room') return;
    const { line } = journey.room;
    if (line.at === 'text' && (line.why === 'no-key' || line.why === 'no-cipher') && this.#noSeal() === null) {
      // What stood in the way is gone. After a while by text, nobody may be surprised by an open camera.
      this.#wish = noWish;
      this.addMedia();
      return;
    }
    if (this.call === null) return;
    this.#keepOpen(journey.room);
    this.#screen.tell({ type: 'lost', at: Date.now() });
    void this.#stand(false);
  }

  #keepOpen(room: RoomState): void {
    this.#wish = { tracks: noTracks, open: (['microphone', 'camera'] as const).filter((kind) => isOpen(room[kind])) };
    void this.call?.leave();
    this.call = null;
  }

  async #standNow(first: boolean): Promise<void> {
    const begun = Date.now();
    let why: { kind: FaultKind; detail: string } = { kind: 'unreachable', detail: '' };
    for (let tried = 0; ; tried += 1) {
      if (tried > 0) {
        // A network that lets nothing out rarely changes its mind: one try of fifteen seconds is enough.
        const enough = why.kind === 'blocked' ? 1 : FIRST_JOIN_TRIES;
        if (first ? tried >= enough : Date.now() - begun > REJOIN_FOR_MS) break;
        await this.#pause(rejoinDelay(tried - 1, Math.random()));
        // Twice the same no: the token may be what is wrong.
        if (tried === 2 && why.kind === 'unreachable' && !(await this.#circle.renew())) return;
      }
      if (!this.#mayCall()) return;
      const result = await this.#tryOnce();
      if (!this.#mayCall() || result === 'stands' || result === 'final') return;
      why = result;
    }
    if (why.kind === 'full') this.#fail({ kind: 'full', detail: null });
    else this.#byText(why.kind === 'blocked' ? 'blocked' : 'unreachable');
  }

  #mayCall(): boolean {
    return !this.#over && this.#inside;
  }

  async #tryOnce(): Promise<Outcome> {
    const pass = this.pass();
    const journey = this.#screen.now();
    if (pass === null || journey.at !== 'room') return 'final';
    let media: typeof CallModule;
    try {
      media = await import('../media/call');
    } catch {
      return { kind: 'unreachable', detail: 'call.js' };
    }
    // Asked before each try: a host may have turned encryption on since the last one.
    if (this.#withoutSeal()) return 'final';
    const sealed = this.#encryption() === true;
    const early = this.#early;
    this.#early = null;
    const connected = (await early?.take(sealed)) ?? (await this.#connect(media, pass, journey.room, sealed, false));
    if ('failure' in connected) return { kind: connected.failure, detail: connected.detail };
    if (!this.#mayCall()) {
      await connected.call.leave();
      return 'final';
    }
    if (this.#encryption() !== sealed) {
      // Decided otherwise while we connected.
      await connected.call.leave();
      return this.#withoutSeal() ? 'final' : { kind: 'unreachable', detail: 'encryption' };
    }
    const wish = this.#wish;
    this.call = connected.call;
    this.#screen.tell({ type: 'sealed', on: sealed });
    this.#wish = noWish;
    // What was chosen while we connected. Takes effect at once: nothing is published yet.
    void connected.call.apply(this.#around.settings());
    this.#hushIfAway();
    await connected.call.begin(wish);
    await this.listDevices();
    return 'stands';
  }

  #connect(media: typeof CallModule, pass: Pass, room: RoomState, sealed: boolean, quiet: boolean): Promise<Connected> {
    return media.connect(
      {
        url: location.origin.replace(/^http/, 'ws'),
        token: pass.token,
        mark: this.ticket.mark,
        host: moderates(room.role),
        ids: this.ids,
        settings: this.#around.settings(),
        quieter: room.looking.quieter,
        sealed,
        quiet,
        key: sealed ? this.ticket.key : null,
      },
      (event) => {
        this.#hear(event);
      },
    );
  }

  /** Beside the circle's line, once, where nobody and nothing is known to stand at the door. */
  #dialEarly(): void {
    const { encryption, key, agreement } = this.ticket;
    const [pass, journey] = [this.pass(), this.#screen.now()];
    if (this.#dialled || pass === null || journey.at !== 'room' || this.#way === 'text') return;
    if (pass.expires < Date.now() + PASS_SPARE_MS) return;
    if (this.#door.isKept() || agreement !== null || encryption === null) return;
    if (unsealed(encryption, key, canSeal()) !== null) return;
    this.#dialled = true;
    const early: EarlyCall = new EarlyCall(
      encryption,
      import('../media/call').then(
        (media) =>
          this.#early === early
            ? this.#connect(media, pass, journey.room, encryption, true)
            : { failure: 'unreachable', detail: 'left' },
        () => ({ failure: 'unreachable', detail: 'call.js' }),
      ),
    );
    this.#early = early;
  }

  #dropEarly(): void {
    void this.#early?.drop();
    this.#early = null;
  }

  #hear(event: CallEvent): void {
    if (this.#isOver()) return;
    const at = Date.now();
    switch (event.type) {
      case 'people':
      case 'device':
      case 'sound':
      case 'screen':
      case 'interrupted':
        this.#screen.tell(event);
        break;
      case 'closed-by-host':
      case 'voices':
        this.#screen.tell({ ...event, at });
        break;
      case 'live':
      case 'resuming':
        this.#screen.tell({ type: event.type, at });
        break;
      case 'ended': {
        const fault: Fault = { kind: event.ending, detail: null };
        this.call = null;
        setTimeout(() => {
          this.#fail(fault);
        }, WORD_WITHIN_MS);
        break;
      }
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
    return (['microphone', 'camera'] as const).filter((kind) => isOpen(room[kind]) && tracks[kind] === null);
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
