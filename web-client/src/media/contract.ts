/**
 * What a call takes, tells and can do, in plain data: the face that the rest of the page sees of livekit-client.
 */

import type { ChosenIds } from '../circle/devices';
import type { Volume } from '../circle/looking';
import type { Mark, Present } from '../circle/person';
import type { DeviceKind, Ending, OwnDevice, OwnScreen } from '../circle/room';
import type { Settings } from '../circle/settings';
import type { OwnTracks } from './preview';
import type { PictureSource } from './reception';

export type CallEvent =
  | { readonly type: 'people'; readonly people: readonly Present[] }
  | { readonly type: 'voices'; readonly identities: readonly string[] }
  | { readonly type: 'resuming' }
  | { readonly type: 'live' }
  | { readonly type: 'device'; readonly kind: DeviceKind; readonly device: OwnDevice }
  | { readonly type: 'closed-by-host'; readonly kind: DeviceKind }
  | { readonly type: 'screen'; readonly screen: OwnScreen }
  /** Something else took the sound away: a phone call, another app. */
  | { readonly type: 'interrupted'; readonly on: boolean }
  | { readonly type: 'sound'; readonly blocked: boolean }
  /** The call is over for good. */
  | { readonly type: 'ended'; readonly ending: Ending }
  /** livekit-client gave up; the tracks that were open come along for the next call. */
  | { readonly type: 'lost'; readonly tracks: OwnTracks };

export interface CallOptions {
  readonly url: string;
  readonly token: string;
  readonly mark: Mark;
  readonly host: boolean;
  readonly ids: ChosenIds;
  readonly settings: Settings;
  /** Who is quieter for us, by identity. */
  readonly quieter: ReadonlyMap<string, Volume>;
  /** The room asks for encryption: without a key there is no call. */
  readonly sealed: boolean;
  /** Nobody is heard until `hush(false)`: the circle has not let us in yet. */
  readonly quiet: boolean;
  /** Encrypts sound and picture from end to end; null sends them as they are. */
  readonly key: string | null;
}

/** What shall be open in the room. */
export interface Wish {
  /** Open tracks to publish at once. */
  readonly tracks: OwnTracks;
  /** Devices to open that have no track yet. */
  readonly open: readonly DeviceKind[];
}

/** `blocked`: the server answered but media did not get through; `full`: there is no seat left. */
export type ConnectFailure = 'unreachable' | 'blocked' | 'full';
export type Connected = { readonly call: Call } | { readonly failure: ConnectFailure; readonly detail: string };

export interface Call {
  /** From here on events are sent, none before; publishes what shall be open. */
  begin(wish: Wish): Promise<void>;
  setDevice(kind: DeviceKind, on: boolean): Promise<void>;
  choose(device: DeviceKind | 'speaker', id: string): Promise<void>;
  startSound(): Promise<void>;
  /** Shows our screen to the others, with its sound where the browser gives it; asks the browser which. */
  shareScreen(on: boolean): Promise<void>;
  /** Nobody is heard while `quiet`; also not those who come meanwhile. */
  hush(quiet: boolean): void;
  /** How loud somebody is for us. */
  setVolume(identity: string, volume: Volume): void;
  /** Takes over what was set: how the microphone is opened, how much video comes and goes. */
  apply(settings: Settings): Promise<void>;
  /** After an interruption, within a press: sound again, and our microphone if it was open. */
  comeBack(): Promise<void>;
  /** Draws somebody's camera or screen into an element until the returned function is called. */
  draw(identity: string, source: PictureSource, element: HTMLVideoElement): () => void;
  microphoneTrack(): MediaStreamTrack | null;
  /** Says goodbye and lets the devices go. */
  leave(): Promise<void>;
}
