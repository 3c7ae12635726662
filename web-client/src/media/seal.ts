/**
 * End-to-end encryption of sound and picture: livekit-client's own, with the key from the link. The same words give the
 * same key in LiveKit's clients for other platforms. Owns worker and key; the server sees neither.
 */

import { ExternalE2EEKeyProvider } from 'livekit-client';
import type { E2EEOptions } from 'livekit-client';
import SealWorker from 'livekit-client/e2ee-worker?worker';

export interface Seal {
  readonly options: E2EEOptions;
  close(): void;
}

export async function openSeal(key: string): Promise<Seal> {
  const keyProvider = new ExternalE2EEKeyProvider();
  await keyProvider.setKey(key);
  const worker = new SealWorker();
  return {
    options: { keyProvider, worker },
    close: () => {
      worker.terminate();
    },
  };
}
