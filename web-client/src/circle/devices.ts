/**
 * The devices a person can choose between and the picture they see of themselves before entering.
 * Plain data; `media/` fills it in.
 */

import type { OwnDevice } from './room';

export interface DeviceChoice {
  readonly id: string;
  /** The device's own name; empty while the browser keeps it back. */
  readonly label: string;
}

/** Which devices were chosen; null is the browser's own choice. */
export interface ChosenIds {
  readonly microphoneId: string | null;
  readonly cameraId: string | null;
  readonly speakerId: string | null;
}

export interface Devices extends ChosenIds {
  readonly microphones: readonly DeviceChoice[];
  readonly cameras: readonly DeviceChoice[];
  /** Empty where the browser does not let a page choose. */
  readonly speakers: readonly DeviceChoice[];
}

export const noDevices: Devices = {
  microphones: [],
  cameras: [],
  speakers: [],
  microphoneId: null,
  cameraId: null,
  speakerId: null,
};

export interface Preview {
  /** Microphone for trying out only: nothing of it leaves the page. */
  readonly microphone: OwnDevice;
  readonly camera: OwnDevice;
  /** What will be open in the room. The microphone is closed unless its owner opens it. */
  readonly enterWithMicrophone: boolean;
  readonly devices: Devices;
  /** Change when another track has to be drawn or measured; null without one. */
  readonly picture: string | null;
  readonly sound: string | null;
}

export const emptyPreview: Preview = {
  microphone: { at: 'off' },
  camera: { at: 'off' },
  enterWithMicrophone: false,
  devices: noDevices,
  picture: null,
  sound: null,
};
