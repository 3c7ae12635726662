/**
 * One connection to the room: livekit-client in, plain state out. The only file that names livekit-client, and it
 * is loaded while people look at their own picture. Owns tracks and media elements; must never know a screen.
 */

import {
  ConnectionError,
  ConnectionErrorReason,
  ConnectionState,
  DisconnectReason,
  LocalAudioTrack,
  LocalVideoTrack,
  LogLevel,
  Room,
  RoomEvent,
  Track,
  TrackEvent,
  VideoQuality,
  setLogLevel,
} from 'livekit-client';
import type { LocalTrack, LocalTrackPublication, TrackPublication } from 'livekit-client';
import type { Volume } from '../circle/looking';
import type { Present } from '../circle/person';
import type { DeviceKind, Ending } from '../circle/room';
import type { Backdrop, Settings } from '../circle/settings';
import { soundChanged } from '../circle/settings';
import type { Background } from './background';
import { BackgroundError, cameraConstraints, faultOf, microphoneConstraints } from './devices';
import type { Call, CallEvent, CallOptions, ConnectFailure, Connected, Wish } from './contract';
import { roomOptions, screenCapture, screenPublish } from './options';
import { peopleIn } from './people';
import type { PictureSource } from './reception';
import { Reception } from './reception';
import type { Seal } from './seal';
import { openSeal } from './seal';
import type { OwnTracks } from './preview';

export type { Call, CallEvent, Wish } from './contract';


const SOURCES = { microphone: Track.Source.Microphone, camera: Track.Source.Camera } as const;

// livekit-client's chattier levels write names and addresses to the console.
setLogLevel(LogLevel.warn);

export async function connect(options: CallOptions, emit: (event: CallEvent) => void): Promise<Connected> {
  if (options.sealed && options.key === null) return { failure: 'unreachable', detail: 'no key' };
  let seal: Seal | null = null;
  let call: LiveCall | null = null;
  try {
    if (options.key !== null) seal = await openSeal(options.key);
    const room = new Room({ ...roomOptions(options.ids, options.settings), ...(seal === null ? {} : { encryption: seal.options }) });
    call = new LiveCall(room, options, seal, emit);
    // Before the first frame: nothing may leave that is not encrypted.
    if (seal !== null) await room.setE2EEEnabled(true);
    // Candidates are gathered while the server answers, not after.
    await room.connect(options.url, options.token, { maxRetries: 0, rtcConfig: { iceCandidatePoolSize: 1 } });
    return { call };
  } catch (error) {
    if (call === null) seal?.close();
    else await call.abandon();
    return { failure: failureOf(error), detail: error instanceof Error ? error.message : 'failed' };
  }
}

function failureOf(error: unknown): ConnectFailure {
  // livekit-client keeps the server's reason to itself. A newcomer is sent away for want of a seat, or because the
  // server stops, and then the next try does not reach it.
  if (error instanceof ConnectionError && error.reason === ConnectionErrorReason.LeaveRequest) return 'full';
  // livekit-client reports a peer connection that never came up as an internal error after the join.
  return error instanceof ConnectionError &&
    (error.reason === ConnectionErrorReason.InternalError || error.reason === ConnectionErrorReason.Timeout)
    ? 'blocked'
    : 'unreachable';
}

function endingFor(reason: DisconnectReason | undefined): Ending | null {
  switch (reason) {
    case DisconnectReason.DUPLICATE_IDENTITY:
      return 'twice';
    case DisconnectReason.PARTICIPANT_REMOVED:
      return 'removed';
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return 'ended';
    default:
      return null;
  }
}

/** How often, and how many times, somebody who was reconnected looks who is there. Longer: the last to come back is heard by them late. */
const CATCH_UP_EVERY_MS = 250;
const CATCH_UP_TIMES = 40;

class LiveCall implements Call {
  readonly #room: Room;
  readonly #options: CallOptions;
  readonly #emit: (event: CallEvent) => void;
  readonly #reception: Reception;
  readonly #seal: Seal | null;
  #settings: Settings;
  /** Our own tracks, kept because livekit-client forgets them before it says that the call was lost. */
  #microphone: LocalAudioTrack | null = null;
  #camera: LocalVideoTrack | null = null;
  /** What is drawn behind us; it goes with the camera's track. */
  #background: Background | null = null;
  /** Own tracks whose device went away by itself. */
  readonly #ended = new WeakSet<Track>();
  /** Presses of ours under way, to tell them from a host's hand. */
  #asked: Record<DeviceKind, number> = { microphone: 0, camera: 0 };
  /** What was pressed last; what is under way may still be on its way there. */
  readonly #wanted: Record<DeviceKind, boolean> = { microphone: false, camera: false };
  readonly #turn: Record<DeviceKind, Promise<void>> = { microphone: Promise.resolve(), camera: Promise.resolve() };
  /** Whose sound and picture our key did not open. */
  readonly #unopened = new Set<string>();
  #over = false;
  #begun = false;
  #peopleDue = false;

  constructor(room: Room, options: CallOptions, seal: Seal | null, emit: (event: CallEvent) => void) {
    this.#room = room;
    this.#seal = seal;
    this.#options = options;
    this.#settings = options.settings;
    this.#emit = (event) => {
      if (this.#begun && !this.#over) emit(event);
    };
    this.#reception = new Reception(room, options, () => {
      this.#emit({ type: 'interrupted', on: true });
    });
    this.#listen();
  }

  #listen(): void {
    const people = (): void => {
      this.#tellPeople();
    };
    this.#room
      .on(RoomEvent.Connected, people)
      .on(RoomEvent.ParticipantConnected, people)
      .on(RoomEvent.ParticipantDisconnected, ({ identity }) => {
        this.#unopened.delete(identity);
        people();
      })
      .on(RoomEvent.ParticipantNameChanged, people)
      .on(RoomEvent.ParticipantAttributesChanged, people)
      .on(RoomEvent.TrackPublished, (publication) => {
        this.#reception.want(publication);
        people();
      })
      .on(RoomEvent.TrackUnpublished, people)
      .on(RoomEvent.LocalTrackPublished, (publication) => {
        this.#keep(publication);
        people();
      })
      .on(RoomEvent.LocalTrackUnpublished, (publication) => {
        // Our own press, or the browser's own "stop sharing".
        if (publication.source === Track.Source.ScreenShare) this.#emit({ type: 'screen', screen: { at: 'off' } });
        people();
      })
      .on(RoomEvent.ConnectionQualityChanged, people)
      .on(RoomEvent.TrackSubscribed, (track, publication, participant) => {
        this.#reception.begin(track, publication, participant.identity);
        // Another key may be theirs by now.
        this.#unopened.delete(participant.identity);
        people();
      })
      .on(RoomEvent.TrackUnsubscribed, (track) => {
        this.#reception.end(track);
        people();
      })
      .on(RoomEvent.TrackMuted, (publication, participant) => {
        if (participant.isLocal) this.#closedUnasked(publication);
        people();
      })
      .on(RoomEvent.TrackUnmuted, people)
      .on(RoomEvent.TrackStreamStateChanged, people)
      .on(RoomEvent.ActiveSpeakersChanged, (speakers) => {
        this.#emit({ type: 'voices', identities: speakers.map((speaker) => speaker.identity) });
      })
      .on(RoomEvent.AudioPlaybackStatusChanged, () => {
        this.#emit({ type: 'sound', blocked: !this.#room.canPlaybackAudio });
      })
      .on(RoomEvent.EncryptionError, (_error, participant) => {
        if (participant === undefined || participant.isLocal) return;
        this.#unopened.add(participant.identity);
        people();
      })
      .on(RoomEvent.SignalReconnecting, () => {
        this.#emit({ type: 'resuming' });
      })
      .on(RoomEvent.Reconnecting, () => {
        this.#emit({ type: 'resuming' });
      })
      .on(RoomEvent.Reconnected, () => {
        this.#emit({ type: 'live' });
        this.#sendMark();
        this.#catchUp(CATCH_UP_TIMES);
      })
      .on(RoomEvent.Disconnected, (reason) => {
        // While connecting, the failure is `connect`'s to report.
        if (this.#begun) this.#gone(reason);
      });
  }

  async begin({ tracks, open }: Wish): Promise<void> {
    this.#begun = true;
    if (this.#room.state === ConnectionState.Disconnected) {
      this.#lose(tracks);
      return;
    }
    this.#emit({ type: 'live' });
    this.#sendMark();
    this.#tellPeople();
    this.#reception.wantAll();
    this.#emit({ type: 'sound', blocked: !this.#room.canPlaybackAudio });
    const own = this.#room.localParticipant;
    const publish = async (kind: DeviceKind, track: MediaStreamTrack): Promise<void> => {
      const { microphoneId, cameraId } = this.#options.ids;
      const local =
        kind === 'microphone'
          ? (this.#microphone = new LocalAudioTrack(track, microphoneConstraints(microphoneId, this.#settings), false))
          : (this.#camera = new LocalVideoTrack(track, cameraConstraints(cameraId), false));
      try {
        // The room is hidden before the first picture leaves.
        if (local instanceof LocalVideoTrack) await this.#hideRoom(local);
        if (local instanceof LocalVideoTrack && !this.#mayOpenCamera()) {
          this.#letCameraGo(local);
          return;
        }
        // The cast is for livekit-client's own types, which are not written for exact optional properties.
        await own.publishTrack(local as LocalTrack, { source: SOURCES[kind] });
        this.#emit({ type: 'device', kind, device: { at: 'on' } });
      } catch (error) {
        // Lost in the middle: the track already went on to the next call.
        if (this.#over) return;
        track.stop();
        const why = error instanceof BackgroundError ? 'background' : 'failed';
        this.#emit({ type: 'device', kind, device: { at: 'fault', why } });
      }
    };
    await Promise.all([
      ...(['microphone', 'camera'] as const).map((kind) => {
        const track = tracks[kind];
        if (track === null) return Promise.resolve();
        this.#wanted[kind] = true;
        return this.#inTurn(kind, () => publish(kind, track));
      }),
      ...open.filter((kind) => tracks[kind] === null).map((kind) => this.setDevice(kind, true)),
    ]);
  }

  /** After a failed `connect`: nothing of this call remains, the tracks stay the caller's. */
  async abandon(): Promise<void> {
    this.#over = true;
    this.#reception.close();
    await this.#room.disconnect(false);
    this.#seal?.close();
  }

  setDevice(kind: DeviceKind, on: boolean): Promise<void> {
    this.#wanted[kind] = on;
    // However long a background still loads: no picture leaves before it is asked whether it may.
    if (kind === 'camera' && !on) this.#emit({ type: 'device', kind, device: { at: 'off' } });
    return this.#inTurn(kind, () => this.#setDevice(kind, on));
  }

  /** One after the other: closing while it still opens would be overtaken by the opening. `act` never rejects. */
  #inTurn(kind: DeviceKind, act: () => Promise<void>): Promise<void> {
    this.#turn[kind] = this.#turn[kind].then(act);
    return this.#turn[kind];
  }

  async #setDevice(kind: DeviceKind, on: boolean): Promise<void> {
    const own = this.#room.localParticipant;
    this.#asked[kind] += 1;
    if (on) this.#emit({ type: 'device', kind, device: { at: 'opening' } });
    try {
      if (kind === 'microphone') await own.setMicrophoneEnabled(on);
      else await this.#setCamera(on);
      this.#emit({ type: 'device', kind, device: { at: on && this.#wanted[kind] ? 'on' : 'off' } });
    } catch (error) {
      this.#emit({ type: 'device', kind, device: { at: 'fault', why: faultOf(error) } });
    } finally {
      this.#asked[kind] -= 1;
      this.#tellPeople();
    }
  }

  async #setCamera(on: boolean): Promise<void> {
    const own = this.#room.localParticipant;
    const resting = own.getTrackPublication(Track.Source.Camera)?.track;
    if (!on) await own.setCameraEnabled(false);
    else if (resting instanceof LocalVideoTrack) {
      // A track that rests keeps what is drawn behind it, unless that had failed.
      if (resting.isMuted && resting.getProcessor() === undefined) await this.#hideRoom(resting);
      if (this.#mayOpenCamera()) await own.setCameraEnabled(true);
    } else await this.#openCamera();
  }

  /** Opened, then hidden, then published: what was chosen while the browser asked counts, and no picture goes before it. */
  async #openCamera(): Promise<void> {
    const own = this.#room.localParticipant;
    const [camera] = await own.createTracks({ video: true });
    if (!(camera instanceof LocalVideoTrack)) return;
    if (!this.#mayOpenCamera()) {
      camera.stop();
      return;
    }
    this.#camera = camera;
    try {
      await this.#hideRoom(camera);
      if (this.#mayOpenCamera()) await own.publishTrack(camera, { source: SOURCES.camera });
      else this.#letCameraGo(camera);
    } catch (error) {
      this.#letCameraGo(camera);
      throw error;
    }
  }

  #letCameraGo(camera: LocalVideoTrack): void {
    // Lost in the middle: the track already went on to the next call.
    if (this.#over) return;
    camera.stop();
    this.#camera = null;
    this.#background = null;
  }

  /** Asked after every wait: the call may be over by then, or the camera closed again. */
  #mayOpenCamera(): boolean {
    return !this.#over && this.#wanted.camera;
  }

  async #makeBackground(backdrop: Backdrop): Promise<Background> {
    try {
      const module = await import('./background');
      return new module.Background(backdrop, () => {
        this.#backgroundGone();
      });
    } catch (error) {
      throw new BackgroundError('the background did not load', { cause: error });
    }
  }

  async #hideRoom(camera: LocalVideoTrack): Promise<void> {
    const { background } = this.#settings;
    if (background === 'none') return;
    const processor = await this.#makeBackground(background);
    await camera.setProcessor(processor);
    this.#background = processor;
  }

  /** No picture is better than one that shows the room. What failed is dropped: the next press makes it anew. */
  #backgroundGone(): void {
    this.#wanted.camera = false;
    void this.#inTurn('camera', async () => {
      await this.#setDevice('camera', false);
      this.#background = null;
      await this.#camera?.stopProcessor().catch(() => undefined);
      this.#emit({ type: 'device', kind: 'camera', device: { at: 'fault', why: 'background' } });
    });
  }

  async #changeBackground(): Promise<void> {
    const camera = this.#camera;
    const { background } = this.#settings;
    if (camera === null || this.#over) return;
    this.#asked.camera += 1;
    try {
      if (background === 'none') {
        this.#background = null;
        await camera.stopProcessor();
      } else if (this.#background !== null) this.#background.show(background);
      else {
        const open = !camera.isMuted;
        // Nothing of the room leaves while the engine loads.
        if (open) {
          this.#emit({ type: 'device', kind: 'camera', device: { at: 'opening' } });
          await camera.mute();
        }
        await this.#hideRoom(camera);
        if (open && this.#mayOpenCamera()) {
          await camera.unmute();
          this.#emit({ type: 'device', kind: 'camera', device: { at: 'on' } });
        }
      }
    } catch (error) {
      await camera.mute().catch(() => undefined);
      this.#emit({ type: 'device', kind: 'camera', device: { at: 'fault', why: faultOf(error) } });
    } finally {
      this.#asked.camera -= 1;
      this.#tellPeople();
    }
  }

  async choose(device: DeviceKind | 'speaker', id: string): Promise<void> {
    const kinds = { microphone: 'audioinput', camera: 'videoinput', speaker: 'audiooutput' } as const;
    try {
      await this.#room.switchActiveDevice(kinds[device], id, false);
    } catch (error) {
      if (device !== 'speaker') {
        this.#emit({ type: 'device', kind: device, device: { at: 'fault', why: faultOf(error) } });
      }
    }
    this.#tellPeople();
  }

  async startSound(): Promise<void> {
    await this.#room.startAudio();
    this.#emit({ type: 'sound', blocked: !this.#room.canPlaybackAudio });
  }

  async shareScreen(on: boolean): Promise<void> {
    if (on) this.#emit({ type: 'screen', screen: { at: 'opening' } });
    try {
      await this.#room.localParticipant.setScreenShareEnabled(on, screenCapture, screenPublish);
      this.#emit({ type: 'screen', screen: { at: on ? 'on' : 'off' } });
    } catch (error) {
      // A closed picker is a change of mind, not a fault.
      this.#emit({ type: 'screen', screen: { at: faultOf(error) === 'denied' ? 'off' : 'fault' } });
    }
    this.#tellPeople();
  }

  hush(quiet: boolean): void {
    this.#reception.hush(quiet);
  }

  async comeBack(): Promise<void> {
    await Promise.all([this.startSound(), this.#reception.resume()]).catch(() => undefined);
    const microphone = this.#microphone;
    // The system took the device away and gave back a silent track.
    if (microphone === null || microphone.isMuted || !microphone.mediaStreamTrack.muted) return;
    await microphone.restartTrack().catch((error: unknown) => {
      this.#emit({ type: 'device', kind: 'microphone', device: { at: 'fault', why: faultOf(error) } });
    });
  }

  setVolume(identity: string, volume: Volume): void {
    this.#reception.setVolume(identity, volume);
  }

  async apply(settings: Settings): Promise<void> {
    const before = this.#settings;
    this.#settings = settings;
    if (before.pictures !== settings.pictures) {
      this.#reception.setPictures(settings.pictures);
      this.#limitOwnCamera();
    }
    if (before.background !== settings.background) await this.#inTurn('camera', () => this.#changeBackground());
    if (!soundChanged(before, settings)) return;
    const { audioCaptureDefaults } = roomOptions(this.#options.ids, settings);
    if (audioCaptureDefaults !== undefined) this.#room.options.audioCaptureDefaults = audioCaptureDefaults;
    const microphone = this.#microphone;
    if (microphone === null) return;
    const deviceId = microphone.getSourceTrackSettings().deviceId ?? null;
    try {
      // Open or closed stays as it is: livekit-client keeps a closed track closed through this.
      await microphone.restartTrack(microphoneConstraints(deviceId, settings));
    } catch (error) {
      this.#emit({ type: 'device', kind: 'microphone', device: { at: 'fault', why: faultOf(error) } });
    }
  }

  draw(identity: string, source: PictureSource, element: HTMLVideoElement): () => void {
    return this.#reception.draw(identity, source, element);
  }

  microphoneTrack(): MediaStreamTrack | null {
    return this.#microphone?.mediaStreamTrack ?? null;
  }

  async leave(): Promise<void> {
    this.#over = true;
    this.#reception.close();
    await this.#room.disconnect(true);
    this.#seal?.close();
    this.#microphone?.stop();
    this.#camera?.stop();
    this.#background?.source?.stop();
    await this.#background?.destroy();
  }

  #keep(publication: LocalTrackPublication): void {
    const { track } = publication;
    track?.on(TrackEvent.Ended, () => {
      this.#ended.add(track);
    });
    if (track instanceof LocalAudioTrack && publication.source === Track.Source.Microphone) this.#microphone = track;
    if (publication.track instanceof LocalVideoTrack && publication.source === Track.Source.Camera) {
      this.#camera = publication.track;
      this.#limitOwnCamera();
    }
  }

  #limitOwnCamera(): void {
    if (this.#camera?.sender === undefined) return;
    this.#camera.setPublishingQuality(this.#settings.pictures === 'all' ? VideoQuality.HIGH : VideoQuality.LOW);
  }

  /** One of our devices closed without a press of ours: it was unplugged, or a host closed it. */
  #closedUnasked(publication: TrackPublication): void {
    const kind: DeviceKind | null =
      publication.source === Track.Source.Microphone
        ? 'microphone'
        : publication.source === Track.Source.Camera
          ? 'camera'
          : null;
    if (kind === null || this.#asked[kind] > 0) return;
    // livekit-client tells of the mute first, of the ending after it.
    setTimeout(() => {
      const { track } = publication;
      const unplugged = track !== undefined && this.#ended.has(track);
      this.#emit(
        unplugged ? { type: 'device', kind, device: { at: 'fault', why: 'unplugged' } } : { type: 'closed-by-host', kind },
      );
    });
  }

  #gone(reason: DisconnectReason | undefined): void {
    const ending = endingFor(reason);
    const carried = (track: LocalAudioTrack | LocalVideoTrack | null): MediaStreamTrack | null => {
      if (track === null) return null;
      // A closed microphone is let go, not carried: nothing comes back open that was not.
      if (ending !== null || track.isMuted || track.mediaStreamTrack.readyState !== 'live') {
        track.stop();
        return null;
      }
      return track === this.#camera ? (this.#background?.source ?? track.mediaStreamTrack) : track.mediaStreamTrack;
    };
    const tracks: OwnTracks = { microphone: carried(this.#microphone), camera: carried(this.#camera) };
    if (ending === null) {
      this.#lose(tracks);
      return;
    }
    this.#reception.close();
    this.#seal?.close();
    this.#emit({ type: 'ended', ending });
    this.#over = true;
  }

  #lose(tracks: OwnTracks): void {
    this.#seal?.close();
    void this.#background?.destroy();
    this.#reception.close();
    this.#emit({ type: 'lost', tracks });
    this.#over = true;
  }

  /** Tells the others which mark is ours. A server that does not allow it leaves them with one from the identity. */
  #sendMark(): void {
    const own = this.#room.localParticipant;
    if (own.attributes['mark'] === this.#options.mark) return;
    own.setAttributes({ mark: this.#options.mark }).catch(() => undefined);
  }

  /**
   * After a full reconnect livekit-client holds back what happens while it believes that it still reconnects, and may never
   * tell it: so for a while we look for ourselves.
   */
  #catchUp(times: number): void {
    if (this.#over) return;
    this.#reception.catchUp();
    this.#tellPeople();
    if (times > 0) {
      setTimeout(() => {
        this.#catchUp(times - 1);
      }, CATCH_UP_EVERY_MS);
    }
  }

  /** Many notices arrive together; the page hears of them once. */
  #tellPeople(): void {
    if (this.#peopleDue || !this.#begun) return;
    this.#peopleDue = true;
    queueMicrotask(() => {
      this.#peopleDue = false;
      this.#emit({ type: 'people', people: this.#people() });
    });
  }

  #people(): Present[] {
    return peopleIn(this.#room, this.#options, this.#unopened);
  }
}
