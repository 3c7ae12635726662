#!/usr/bin/env node
// A network that lets no UDP out, as in many hospitals: sound and picture go over TCP, on the page's own port, both ways.
import { readFileSync } from 'node:fs';
import { blockUdp, far, lay, near, serve } from './cable.mjs';
import { check, run, seconds, shot, sleep, until } from './kit.mjs';
import { isLive, moves } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));

/** The way that media goes: protocol and type of the server's candidate, and voices: samples that came, made up. */
const way = (page) => page.evaluate(async () => {
  let [protocol, came, concealed] = ['none', 0, 0];
  for (const connection of window.watched.peerConnections) {
    if (connection.connectionState === 'closed') continue;
    const report = await connection.getStats();
    for (const entry of report.values()) {
      if (entry.type === 'transport') {
        const pair = report.get(entry.selectedCandidatePairId);
        protocol = report.get(pair?.remoteCandidateId)?.protocol ?? 'none';
      }
      if (entry.type === 'inbound-rtp' && entry.kind === 'audio') {
        came += entry.totalSamplesReceived ?? 0;
        concealed += (entry.concealedSamples ?? 0) - (entry.silentConcealedSamples ?? 0);
      }
    }
  }
  return { protocol, came, concealed };
});

async function main() {
  lay();
  const links = await serve();
  blockUdp();
  const one = await near(links.host, names[3], 'green');
  const began = performance.now();
  const walled = await far(links.guest, names[4], 'blue');
  check('without UDP: somebody comes in', await isLive(walled.page), seconds(performance.now() - began));
  const [to, from] = [await until(() => moves(walled.page, one.name, 1500), 20_000), await until(() => moves(one.page, walled.name, 1500), 20_000)];
  check('without UDP: the picture of somebody with UDP comes', to !== null, `after ${seconds(to)}`);
  check('without UDP: and the own picture reaches them', from !== null, `after ${seconds(from)}`);
  check('media goes over TCP here, over UDP there',
    (await way(walled.page)).protocol === 'tcp' && (await way(one.page)).protocol === 'udp');
  await sleep(2000);
  const before = [await way(walled.page), await way(one.page)];
  await sleep(5000);
  const after = [await way(walled.page), await way(one.page)];
  for (const [at, who] of ['without UDP', 'with UDP'].entries()) {
    const [came, concealed] = [after[at].came - before[at].came, after[at].concealed - before[at].concealed];
    check(`${who}: the voice comes whole`, came > 150_000 && concealed <= came * 0.2,
      `${(concealed / came * 100).toFixed(2)} % made up of ${came} samples`);
  }
  await shot(walled.page, 'without-udp');
}

await run(main, 180_000);
