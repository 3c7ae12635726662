#!/usr/bin/env node
// A rented server that knows only its private address: the NAT in front changes that and nothing else. It asks a STUN server for
// the other one, and whoever is out there gets in over UDP without anything being configured but that.
import { readFileSync } from 'node:fs';
import { far, layServerBehindNat, serveBehindNat } from './cable.mjs';
import { check, run, seconds, until } from './kit.mjs';
import { isLive, moves } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));

/** Where media goes: protocol and address of the server's candidate in use, and all that were told. */
const way = (page) => page.evaluate(async () => {
  const connection = window.watched.peerConnections.findLast((one) => one.connectionState === 'connected');
  const report = await connection.getStats();
  const all = [...report.values()];
  const pair = report.get(all.find((entry) => entry.type === 'transport').selectedCandidatePairId);
  const to = report.get(pair.remoteCandidateId);
  const told = connection.remoteDescription.sdp.match(/(?<=^a=candidate:\d+ 1 udp \d+ )\S+/gm);
  return { to: `${to.protocol} ${to.address}`, told };
});

async function main() {
  await layServerBehindNat();
  const links = await serveBehindNat();
  const one = await far(links.host, names[3], 'green');
  check('somebody out there is in the call', await isLive(one.page));
  const { to, told } = await way(one.page);
  check('media goes to the address that the world sees', to === 'udp 203.0.113.2', to);
  check('the private one is told beside it, for those on the same network', told.join() === '203.0.113.2,192.168.219.2', told.join());
  const two = await far(links.guest, names[4], 'blue');
  const seen = await until(() => moves(one.page, two.name, 1500), 20_000);
  check('and so does the picture of the next one', seen !== null, `after ${seconds(seen)}`);
}

await run(main, 120_000);
