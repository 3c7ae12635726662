/**
 * What comes to us from the others: which pictures and in what size, their voices and how loud. Owns the sound
 * elements; must never know a screen.
 */

import { RemoteTrackPublication, Track, VideoQuality } from 'livekit-client';
import type { RemoteTrack, Room } from 'livekit-client';
import type { Volume } from '../circle/looking';
import type { Settings } from '../circle/settings';
import type { CallOptions } from './contract';

export type PictureSource = 'camera' | 'screen';
const PICTURES = { camera: Track.Source.Camera, screen: Track.Source.ScreenShare } as const;

export class Reception {
  readonly #room: Room;
  readonly #sealed: boolean;
  readonly #out: HTMLElement;
  /** One element per voice. Kept here, because after a full reconnect a track no longer knows its own. */
  readonly #voices = new Map<RemoteTrack, HTMLMediaElement>();
  readonly #quieter: Map<string, Volume>;
  readonly #interrupted: () => void;
  #pictures: Settings['pictures'];
  #quiet: boolean;

  /**
   * `sealed`: nothing is received that is not encrypted. `interrupted` is called when a voice stops playing though it is
   * still there.
   */
  constructor(
    room: Room,
    { sealed, settings, quieter, quiet }: Pick<CallOptions, 'sealed' | 'settings' | 'quieter' | 'quiet'>,
    interrupted: () => void,
  ) {
    this.#interrupted = interrupted;
    this.#room = room;
    this.#sealed = sealed;
    this.#pictures = settings.pictures;
    this.#quiet = quiet;
    this.#quieter = new Map(quieter);
    this.#out = document.createElement('div');
    this.#out.hidden = true;
    this.#out.dataset['part'] = 'voices';
    document.body.append(this.#out);
  }

  /** A track came: its sound is played; its picture waits for somebody to draw it. */
  begin(track: RemoteTrack, publication: RemoteTrackPublication, identity: string): void {
    if (this.#voices.has(track)) return;
    if (this.#isForeign(publication)) {
      if (publication.isDesired) publication.setSubscribed(false);
      return;
    }
    if (track.kind !== Track.Kind.Audio) {
      this.want(publication);
      return;
    }
    const element = track.attach();
    element.dataset['identity'] = identity;
    this.#voices.set(track, element);
    this.#out.append(element);
    this.#setLoudness(element);
    element.addEventListener('pause', () => {
      // Elements also pause when their track goes.
      if (this.#voices.get(track) === element && track.mediaStreamTrack.readyState === 'live') this.#interrupted();
    });
  }

  /** Plays who is there and not heard yet, and no longer who is gone: what livekit-client did not tell. */
  catchUp(): void {
    const here = new Set<RemoteTrack>();
    for (const participant of this.#room.remoteParticipants.values()) {
      for (const publication of participant.trackPublications.values()) {
        if (!(publication instanceof RemoteTrackPublication) || publication.kind !== Track.Kind.Audio) continue;
        const track = publication.track;
        if (track === undefined) continue;
        here.add(track);
        if (!this.#voices.has(track)) this.begin(track, publication, participant.identity);
      }
    }
    for (const track of this.#voices.keys()) {
      if (!here.has(track)) this.end(track);
    }
  }

  /** Everybody is heard again; works within a press only. */
  async resume(): Promise<void> {
    await Promise.all([...this.#voices.values()].map((element) => element.play()));
  }

  end(track: RemoteTrack): void {
    const element = this.#voices.get(track);
    this.#voices.delete(track);
    track.detach();
    element?.remove();
  }

  /** Nothing is heard from here on. */
  close(): void {
    this.#voices.clear();
    this.#out.remove();
  }

  /** Nobody is heard, whatever their own volume. */
  hush(quiet: boolean): void {
    this.#quiet = quiet;
    for (const element of this.#voices.values()) this.#setLoudness(element);
  }

  setVolume(identity: string, volume: Volume): void {
    this.#quieter.set(identity, volume);
    for (const element of this.#voices.values()) {
      if (element.dataset['identity'] === identity) this.#setLoudness(element);
    }
  }

  /** iPhones ignore an element's volume, but not that it is muted. */
  #setLoudness(element: HTMLMediaElement): void {
    const volume = this.#quieter.get(element.dataset['identity'] ?? '') ?? 1;
    element.volume = volume;
    element.muted = this.#quiet || volume === 0;
  }

  setPictures(pictures: Settings['pictures']): void {
    this.#pictures = pictures;
    this.wantAll();
  }

  wantAll(): void {
    for (const participant of this.#room.remoteParticipants.values()) {
      for (const publication of participant.trackPublications.values()) {
        if (publication instanceof RemoteTrackPublication) this.want(publication);
      }
    }
  }

  /** How much of one picture we want: none of any, little of a camera, or what fits the drawn size. */
  want(publication: RemoteTrackPublication): void {
    if (this.#isForeign(publication)) {
      if (publication.isDesired) publication.setSubscribed(false);
      return;
    }
    if (publication.kind !== Track.Kind.Video) return;
    const wanted = this.#pictures !== 'none';
    if (publication.isDesired !== wanted) publication.setSubscribed(wanted);
    if (!wanted || publication.source !== Track.Source.Camera) return;
    const quality = this.#pictures === 'saver' ? VideoQuality.LOW : VideoQuality.HIGH;
    if (publication.videoQuality !== quality) publication.setVideoQuality(quality);
  }

  /** In the clear, in a room whose sound and picture are encrypted: another app that does not know of it. */
  #isForeign(publication: RemoteTrackPublication): boolean {
    return this.#sealed && !publication.isEncrypted;
  }

  draw(identity: string, source: PictureSource, element: HTMLVideoElement): () => void {
    const publication = this.#room.getParticipantByIdentity(identity)?.getTrackPublication(PICTURES[source]);
    const track = publication?.track;
    if (track === undefined) return () => undefined;
    if (publication instanceof RemoteTrackPublication && this.#isForeign(publication)) return () => undefined;
    track.attach(element);
    // Sound has its own elements; an unmuted picture would be held back by autoplay rules.
    element.muted = true;
    return () => {
      track.detach(element);
    };
  }
}
