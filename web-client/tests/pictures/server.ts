/** A made-up server: a busy evening, and a certificate that was not renewed; and the operator's page over it. */
import { mount } from 'svelte';
import { readable } from 'svelte/store';
import { firstSettings } from '../../src/circle/settings';
import type { ServerState } from '../../src/protocol/state';

const NOW = Date.UTC(2026, 0, 15, 10, 30);
const DAY = 86_400_000;
const GIB = 1024 ** 3;

export const serverState: ServerState = {
  version: '0.1.0',
  livekitVersion: '1.13.5',
  now: NOW,
  begunAt: NOW - 9.2 * DAY,
  ready: true,
  hasRoomForTen: true,
  findings: [
    {
      check: 'certificate',
      verdict: 'warn',
      en: {
        what: 'The certificate ends in 9 days.',
        do: 'Renew it now, and look why it was not renewed by itself: port 443 must be reachable from outside.',
      },
      ja: {
        what: '証明書は あと 9 日で 終わります。',
        do: 'すぐに 更新し、自動で 更新されなかった わけを 調べて ください。外から ポート 443 に とどく ことが 必要です。',
      },
    },
  ],
  people: 17,
  rooms: 2,
  listed: [
    { number: 41, people: 12, waiting: 1 },
    { number: 44, people: 5, waiting: 0 },
  ],
  joins: { joined: 208, refused: [{ reason: 'invite-expired', count: 3 }] },
  media: {
    peers: 17,
    tracks: 29,
    subscriptions: 258,
    threads: [{ load: 0.23, alive: true }],
    gso: true,
    expected: 4_000_000,
    lost: 5200,
    dropped: 0,
  },
  pace: { seconds: 10, processors: 0.31, packetsIn: 2310, bytesIn: 1_900_000, packetsOut: 19_400, bytesOut: 16_200_000 },
  machine: { processors: 2, memory: 71 * 1024 ** 2, memoryFree: 1.1 * GIB, openFiles: 131, openFilesMax: 16_384, diskFree: 14 * GIB, disk: 38 * GIB },
  connections: { now: 55, most: 4096, refused: [{ reason: 'too-many', count: 0 }, { reason: 'gave-way', count: 12 }, { reason: 'late', count: 4 }] },
  certificate: { from: 'authority', names: ['circle.example.org'], beginsAt: NOW - 81 * DAY, endsAt: NOW + 9 * DAY, renewsAt: NOW - 21 * DAY },
  log: { warnings: 2, errors: 0 },
};

/** The page as it is, but for the network: with its key it is answered by the server above. */
export async function operatorPage(root: HTMLElement, opened: boolean): Promise<void> {
  Date.now = () => NOW;
  window.fetch = () => Promise.resolve(new Response(JSON.stringify(serverState), { headers: { 'content-type': 'application/json' } }));
  if (opened) sessionStorage.setItem('enza.operator', 'key');
  else sessionStorage.removeItem('enza.operator');
  const [{ default: Frame }, { default: Content }] = await Promise.all([
    import('../../src/view/operator/OperatorFrame.svelte'),
    import('../../src/view/operator/AdminPage.svelte'),
  ]);
  const theme = new URLSearchParams(location.search).get('theme') === 'dark' ? ('dark' as const) : ('device' as const);
  mount(Frame, { target: root, props: { settings: readable({ ...firstSettings, theme }), Content } });
}
