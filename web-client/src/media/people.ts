/**
 * livekit-client's participants as plain people.
 */

import { ConnectionQuality, Track } from 'livekit-client';
import type { Participant, Room, TrackPublication } from 'livekit-client';
import type { Mark, Present } from '../circle/person';
import { markFor, readMark } from '../circle/person';

export interface Own {
  readonly mark: Mark;
  readonly host: boolean;
}

/** `unopened`: whose sound and picture our key does not open. */
export function peopleIn(room: Room, own: Own, unopened: ReadonlySet<string>): Present[] {
  return [room.localParticipant, ...room.remoteParticipants.values()].map((participant) => ({
    ...personFrom(participant, own),
    unopened: unopened.has(participant.identity),
  }));
}

/** The circle's role, in an attribute that only the server sets. */
function isHost(participant: Participant): boolean {
  return participant.attributes['enza.role'] === 'host';
}

function drawable(publication: TrackPublication | undefined): string | null {
  return publication?.track !== undefined && !publication.isMuted ? publication.trackSid : null;
}

function personFrom(participant: Participant, own: Own): Omit<Present, 'unopened'> {
  const me = participant.isLocal;
  const camera = participant.getTrackPublication(Track.Source.Camera);
  const video = drawable(camera);
  return {
    identity: participant.identity,
    name: participant.name ?? participant.identity,
    me,
    host: me ? own.host : isHost(participant),
    mark: me ? own.mark : (readMark(participant.attributes['mark']) ?? markFor(participant.identity)),
    joinedAt: participant.joinedAt?.getTime() ?? Number.MAX_SAFE_INTEGER,
    microphone: participant.isMicrophoneEnabled,
    video,
    // One's own screen is not shown back to oneself.
    screen: me ? null : drawable(participant.getTrackPublication(Track.Source.ScreenShare)),
    resting: video !== null && camera?.track?.streamState === Track.StreamState.Paused,
    weak: participant.connectionQuality === ConnectionQuality.Poor,
    gone: !me && participant.connectionQuality === ConnectionQuality.Lost,
  };
}
