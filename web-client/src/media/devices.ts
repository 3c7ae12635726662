/**
 * Cameras, microphones and speakers as the browser knows them: listing, opening, and why opening failed.
 */

import type { ChosenIds, DeviceChoice, Devices } from '../circle/devices';
import type { DeviceFault, DeviceKind } from '../circle/room';
import type { SoundSettings } from '../circle/settings';
import { mayUseDevices } from './support';

/** 640×360 at up to 24 frames is what a seat of the circle can show; more would cost light and battery for nothing. */
export const CAMERA = { width: 640, height: 360, frameRate: 24 } as const;

export function microphoneConstraints(id: string | null, sound: SoundSettings): MediaTrackConstraints {
  return {
    echoCancellation: sound.echo,
    noiseSuppression: sound.noise,
    autoGainControl: sound.gain,
    ...(id === null ? {} : { deviceId: { ideal: id } }),
  };
}

export function cameraConstraints(id: string | null): MediaTrackConstraints {
  return {
    width: { ideal: CAMERA.width },
    height: { ideal: CAMERA.height },
    frameRate: { ideal: CAMERA.frameRate, max: CAMERA.frameRate },
    ...(id === null ? { facingMode: 'user' } : { deviceId: { ideal: id } }),
  };
}

/** The background that was chosen cannot be had, so the camera stays shut: the room is not to be seen. */
export class BackgroundError extends Error {
  override readonly name = 'BackgroundError';
}

export function faultOf(error: unknown): DeviceFault {
  if (!(error instanceof Error)) return 'failed';
  switch (error.name) {
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'none';
    case 'NotAllowedError':
    case 'SecurityError':
      return mayUseDevices() ? 'denied' : 'insecure';
    case 'BackgroundError':
      return 'background';
    case 'NotReadableError':
    case 'AbortError':
      return 'busy';
    default:
      return mayUseDevices() ? 'failed' : 'insecure';
  }
}

export type Opened = { readonly track: MediaStreamTrack } | { readonly fault: DeviceFault };

export async function openDevice(kind: DeviceKind, id: string | null, sound: SoundSettings): Promise<Opened> {
  if (!mayUseDevices()) return { fault: 'insecure' };
  try {
    const stream = await navigator.mediaDevices.getUserMedia(
      kind === 'microphone' ? { audio: microphoneConstraints(id, sound) } : { video: cameraConstraints(id) },
    );
    const track = stream.getTracks()[0];
    return track === undefined ? { fault: 'none' } : { track };
  } catch (error) {
    return { fault: faultOf(error) };
  }
}

/** Both at once, so that browsers ask once; what cannot be had together is tried alone. */
export async function openBoth(
  ids: Pick<ChosenIds, 'microphoneId' | 'cameraId'>,
  sound: SoundSettings,
): Promise<{ microphone: Opened; camera: Opened }> {
  if (!mayUseDevices()) return { microphone: { fault: 'insecure' }, camera: { fault: 'insecure' } };
  try {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: microphoneConstraints(ids.microphoneId, sound),
      video: cameraConstraints(ids.cameraId),
    });
    const [microphone] = stream.getAudioTracks();
    const [camera] = stream.getVideoTracks();
    return {
      microphone: microphone === undefined ? { fault: 'none' } : { track: microphone },
      camera: camera === undefined ? { fault: 'none' } : { track: camera },
    };
  } catch (error) {
    const fault = faultOf(error);
    const refused = { fault };
    if (fault !== 'denied') {
      const microphone = await openDevice('microphone', ids.microphoneId, sound);
      return { microphone, camera: await openDevice('camera', ids.cameraId, sound) };
    }
    // Asking again after a "no" would be rude, unless the browser says that only one of the two is refused.
    const [microphoneDenied, cameraDenied] = [await isDenied('microphone'), await isDenied('camera')];
    return {
      microphone: cameraDenied && !microphoneDenied ? await openDevice('microphone', ids.microphoneId, sound) : refused,
      camera: microphoneDenied && !cameraDenied ? await openDevice('camera', ids.cameraId, sound) : refused,
    };
  }
}

async function isDenied(name: DeviceKind): Promise<boolean> {
  try {
    // Not every browser knows these two names; those that do not, throw.
    const status = await navigator.permissions.query({ name });
    return status.state === 'denied';
  } catch {
    return false;
  }
}

export async function listDevices(ids: ChosenIds): Promise<Devices> {
  const found = mayUseDevices() ? await navigator.mediaDevices.enumerateDevices().catch(() => []) : [];
  const choices = (kind: MediaDeviceKind): DeviceChoice[] =>
    found
      .filter((device) => device.kind === kind && device.deviceId !== '')
      .map((device) => ({ id: device.deviceId, label: device.label }));
  return {
    microphones: choices('audioinput'),
    cameras: choices('videoinput'),
    speakers: 'setSinkId' in HTMLMediaElement.prototype ? choices('audiooutput') : [],
    ...ids,
  };
}

/** Calls back when something is plugged in or out; returns the end of it. */
export function watchDevices(changed: () => void): () => void {
  if (!mayUseDevices()) return () => undefined;
  navigator.mediaDevices.addEventListener('devicechange', changed);
  return () => {
    navigator.mediaDevices.removeEventListener('devicechange', changed);
  };
}
