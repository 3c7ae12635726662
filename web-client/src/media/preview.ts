/**
 * The picture and the level people see of themselves before entering. Owns the devices until they are handed to
 * the call or let go. Nothing of it leaves the page.
 */

import type { ChosenIds, Preview } from '../circle/devices';
import { emptyPreview } from '../circle/devices';
import type { DeviceKind, OwnDevice } from '../circle/room';
import type { Settings } from '../circle/settings';
import type { Background } from './background';
import type { Opened } from './devices';
import { listDevices, openBoth, openDevice, watchDevices } from './devices';
import { ringBell } from './sound';
import { mayUseDevices } from './support';

/** Tracks that go on into the call. */
export interface OwnTracks {
  readonly microphone: MediaStreamTrack | null;
  readonly camera: MediaStreamTrack | null;
}

export interface PreviewDesk {
  readonly microphone: () => MediaStreamTrack | null;
  /** What is seen of us: the camera, with what was chosen behind us. */
  readonly picture: () => MediaStreamTrack | null;
  /** What is seen behind us from now on. */
  setBackground(background: Settings['background']): Promise<void>;
  toggle(kind: DeviceKind): Promise<void>;
  /** Opens both again, with one question of the browser. */
  reopen(): Promise<void>;
  choose(device: DeviceKind | 'speaker', id: string): Promise<void>;
  ring(): Promise<void>;
  readonly ids: () => ChosenIds;
  /** Hands over what shall be open in the room, closes the rest. */
  take(): OwnTracks;
  close(): void;
}

export function openPreview(wanted: ChosenIds, settings: Settings, show: (preview: Preview) => void): PreviewDesk {
  let state: Preview = {
    ...emptyPreview,
    microphone: mayUseDevices() ? { at: 'opening' } : { at: 'fault', why: 'insecure' },
    camera: mayUseDevices() ? { at: 'opening' } : { at: 'fault', why: 'insecure' },
    devices: { ...emptyPreview.devices, ...wanted },
  };
  const tracks: Record<DeviceKind, MediaStreamTrack | null> = { microphone: null, camera: null };
  let backdrop = settings.background;
  let background: Background | null = null;
  /** Its engine still loads. */
  let coming: Background | null = null;
  /** How often something else was chosen: what was begun before that is given up. */
  let chosen = 0;
  let over = false;

  const change = (next: Partial<Preview>): void => {
    state = { ...state, ...next };
    if (!over) show(state);
  };
  const ids = (): ChosenIds => {
    const { microphoneId, cameraId, speakerId } = state.devices;
    return { microphoneId, cameraId, speakerId };
  };
  const list = async (): Promise<void> => {
    const devices = await listDevices(ids());
    change({ devices: { ...devices, ...ids() } });
  };
  const shut = (kind: DeviceKind): void => {
    if (kind === 'camera') uncover();
    tracks[kind]?.stop();
    tracks[kind] = null;
  };
  const put = (kind: DeviceKind, opened: Opened): void => {
    shut(kind);
    if ('track' in opened && over) {
      opened.track.stop();
      return;
    }
    let device: OwnDevice;
    if ('track' in opened) {
      const { track } = opened;
      tracks[kind] = track;
      device = { at: 'on' };
      track.addEventListener('ended', () => {
        if (tracks[kind] === track) put(kind, { fault: 'unplugged' });
      });
      const id = track.getSettings().deviceId ?? null;
      state = {
        ...state,
        devices: { ...state.devices, ...(kind === 'microphone' ? { microphoneId: id } : { cameraId: id }) },
      };
    } else {
      device = { at: 'fault', why: opened.fault };
    }
    const shown = tracks[kind]?.id ?? null;
    if (kind === 'microphone') change({ microphone: device, sound: shown });
    else if (shown === null || backdrop === 'none') change({ camera: device, picture: shown });
    else void hideRoom();
  };
  /** Until the room is hidden the camera is "opening", and nothing is shown. */
  const hideRoom = async (): Promise<void> => {
    const track = tracks.camera;
    uncover();
    const mine = chosen;
    if (track === null) return;
    if (backdrop === 'none') {
      change({ camera: { at: 'on' }, picture: track.id });
      return;
    }
    change({ camera: { at: 'opening' }, picture: null });
    try {
      const module = await import('./background');
      if (over || mine !== chosen) return;
      const drawn = new module.Background(backdrop, () => {
        put('camera', { fault: 'background' });
      });
      coming = drawn;
      await drawn.init({ track });
      // Given up: `uncover` has ended it.
      if (mine !== chosen) return;
      coming = null;
      background = drawn;
      change({ camera: { at: 'on' }, picture: drawn.processedTrack.id });
    } catch {
      if (mine === chosen) put('camera', { fault: 'background' });
    }
  };
  const uncover = (): void => {
    chosen += 1;
    void background?.destroy();
    void coming?.destroy();
    background = null;
    coming = null;
  };
  const openAgain = async (kind: DeviceKind): Promise<void> => {
    change(kind === 'microphone' ? { microphone: { at: 'opening' } } : { camera: { at: 'opening' } });
    put(kind, await openDevice(kind, kind === 'microphone' ? ids().microphoneId : ids().cameraId, settings));
    await list();
  };

  const unwatch = watchDevices(() => {
    void list();
  });
  show(state);
  const openAll = async (): Promise<void> => {
    change({ microphone: { at: 'opening' }, camera: { at: 'opening' } });
    const { microphone, camera } = await openBoth(ids(), settings);
    put('microphone', microphone);
    put('camera', camera);
    await list();
  };
  if (mayUseDevices()) void openAll();

  return {
    microphone: () => tracks.microphone,
    picture: () => background?.processedTrack ?? (backdrop === 'none' ? tracks.camera : null),
    async setBackground(next) {
      backdrop = next;
      const drawn = background ?? coming;
      if (drawn !== null && next !== 'none') drawn.show(next);
      else await hideRoom();
    },
    ids,
    async toggle(kind) {
      if (kind === 'microphone') {
        if (state.microphone.at === 'fault') await openAgain('microphone');
        else if (state.microphone.at === 'on') change({ enterWithMicrophone: !state.enterWithMicrophone });
      } else if (state.camera.at === 'on') {
        shut('camera');
        change({ camera: { at: 'off' }, picture: null });
      } else if (state.camera.at !== 'opening') {
        await openAgain('camera');
      }
    },
    reopen: openAll,
    async choose(device, id) {
      if (device === 'speaker') {
        change({ devices: { ...state.devices, speakerId: id } });
      } else if (device === 'microphone') {
        change({ devices: { ...state.devices, microphoneId: id } });
        await openAgain('microphone');
      } else {
        change({ devices: { ...state.devices, cameraId: id } });
        if (state.camera.at !== 'off') await openAgain('camera');
      }
    },
    async ring() {
      await ringBell(ids().speakerId);
    },
    take() {
      const taken: OwnTracks = {
        microphone: state.enterWithMicrophone ? tracks.microphone : null,
        camera: tracks.camera,
      };
      if (taken.microphone === null) shut('microphone');
      tracks.microphone = null;
      tracks.camera = null;
      over = true;
      uncover();
      unwatch();
      return taken;
    },
    close() {
      over = true;
      unwatch();
      shut('microphone');
      shut('camera');
    },
  };
}
