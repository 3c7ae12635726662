#!/usr/bin/env node
// A server that knows only its private address. First a rented one: the NAT in front changes that and nothing else. Then one at
// home, whose router forwards a single port. It asks a STUN server for the other address, and whoever is out there gets in over
// UDP without anything being configured but that. `enza doctor` beside the server names each kind of NAT.
import { readFileSync } from 'node:fs';
import { doctorBehindNat, far, layServerBehindNat, serveBehindNat, wall } from './cable.mjs';
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

/** What the doctor says of the address. */
async function diagnosed(kind, verdict, words) {
  const { address } = await doctorBehindNat();
  check(`the doctor knows ${kind}`, address.verdict === verdict && words.test(address.what), `${address.verdict}: ${address.what}`);
}

async function main() {
  await layServerBehindNat();
  const links = await serveBehindNat();
  const one = await far(links.host, names[3], 'green');
  check('somebody out there is in the call', await isLive(one.page));
  const { to, told } = await way(one.page);
  check('media goes to the address that the world sees', to === 'udp 203.0.113.2', to);
  check('the private one is told beside it, for those on the same network', told.join() === '203.0.113.2,192.168.219.2', told.join());
  await diagnosed('a NAT that changes only the address', 'ok', /^Behind NAT as 203\.0\.113\.2, .*ports stay/);
  await wall('home 7880');
  const [two] = await Promise.all([
    far(links.guest, names[4], 'blue'),
    diagnosed('a router at home', 'warn', /^Behind NAT as 203\.0\.113\.2, .*changes ports/),
  ]);
  const forwarded = await way(two.page);
  check('one forwarded port is enough for somebody out there', forwarded.to === 'udp 203.0.113.2', forwarded.to);
  const seen = await until(() => moves(one.page, two.name, 1500), 20_000);
  check('and pictures go both ways', seen !== null && await moves(two.page, one.name), `after ${seconds(seen)}`);
  await wall('strict');
  await diagnosed('a symmetric NAT', 'warn', /symmetric/);
}

await run(main, 120_000);
