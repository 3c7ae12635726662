/** What the page reads of its own room token: until when it opens the room, and which room. The server checks it. */

import { number, record, text } from './read';

export interface Pass {
  readonly token: string;
  readonly identity: string;
  readonly room: string;
  /** Where the circle socket is. */
  readonly circle: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
}

const claims = record({ exp: number, sub: text, video: record({ room: text }) });

/** Null for what is no room token. */
export function readPass(token: string): Pass | null {
  try {
    const [, payload = ''] = token.split('.');
    const bytes = Uint8Array.from(atob(payload.replace(/-/g, '+').replace(/_/g, '/')), (character) =>
      character.charCodeAt(0),
    );
    const { exp, sub, video } = claims(JSON.parse(new TextDecoder().decode(bytes)) as unknown);
    return { token, identity: sub, room: video.room, circle: `/api/rooms/${encodeURIComponent(video.room)}/circle`, expires: exp * 1000 };
  } catch {
    return null;
  }
}
