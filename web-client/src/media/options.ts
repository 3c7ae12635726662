/**
 * How livekit-client is set up: what is captured, in which qualities it is sent, and that only what is drawn is received.
 */

import { VideoPreset } from 'livekit-client';
import type { RoomOptions, ScreenShareCaptureOptions, TrackPublishOptions } from 'livekit-client';
import type { ChosenIds } from '../circle/devices';
import { resumeDelay } from '../circle/rejoin';
import type { SoundSettings } from '../circle/settings';
import { CAMERA } from './devices';

/** Modest on purpose: a seat is small, a hospital's line is shared. 450 + 120 kbit/s and Opus stay below 650. */
const HIGH = { maxBitrate: 450_000, maxFramerate: CAMERA.frameRate } as const;
const LOW = new VideoPreset(320, 180, 120_000, 15);
const VOICE_BITRATE = 32_000;
/** Text has to be read, films are rare: many pixels, few of them a second. */
const SCREEN = { width: 1920, height: 1080, frameRate: 15 } as const;
const SCREEN_ENCODING = { maxBitrate: 1_500_000, maxFramerate: SCREEN.frameRate } as const;
const SCREEN_LOW = new VideoPreset(960, 540, 300_000, 5);
const SCREEN_SOUND_BITRATE = 96_000;

export function roomOptions(ids: ChosenIds, sound: SoundSettings): RoomOptions {
  return {
    // Each picture is asked for in the size in which it is drawn, and not at all where it is not.
    adaptiveStream: { pixelDensity: 'screen' },
    dynacast: true,
    // Leaving is ours: a tab that closes says goodbye in `pagehide`, a frozen one does not.
    disconnectOnPageLeave: false,
    // Tracks outlive a lost connection, so that coming back asks for no permission.
    stopLocalTrackOnUnpublish: false,
    reconnectPolicy: { nextRetryDelayInMs: ({ retryCount }) => resumeDelay(retryCount, Math.random()) },
    audioCaptureDefaults: {
      echoCancellation: sound.echo,
      noiseSuppression: sound.noise,
      autoGainControl: sound.gain,
      ...(ids.microphoneId === null ? {} : { deviceId: { ideal: ids.microphoneId } }),
    },
    videoCaptureDefaults: {
      resolution: { ...CAMERA },
      ...(ids.cameraId === null ? { facingMode: 'user' } : { deviceId: { ideal: ids.cameraId } }),
    },
    ...(ids.speakerId === null ? {} : { audioOutput: { deviceId: ids.speakerId } }),
    publishDefaults: {
      videoCodec: 'vp8',
      backupCodec: false,
      simulcast: true,
      videoEncoding: HIGH,
      videoSimulcastLayers: [LOW],
      screenShareEncoding: SCREEN_ENCODING,
      screenShareSimulcastLayers: [SCREEN_LOW],
      audioPreset: { maxBitrate: VOICE_BITRATE },
      dtx: true,
      red: true,
    },
  };
}

export const screenCapture: ScreenShareCaptureOptions = {
  // Music and films as they are: what cleans a voice would eat them.
  audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  resolution: SCREEN,
  contentHint: 'detail',
  // Enza in Enza is a hall of mirrors.
  selfBrowserSurface: 'exclude',
  surfaceSwitching: 'include',
  systemAudio: 'include',
};

export const screenPublish: TrackPublishOptions = {
  audioPreset: { maxBitrate: SCREEN_SOUND_BITRATE },
  dtx: false,
  red: false,
};
