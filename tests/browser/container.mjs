#!/usr/bin/env node
// Two people in a room of a server that runs in a container behind its machine's NAT: sound and picture both ways, over UDP, at
// the address to which the domain leads. container.py starts it.
//
// Usage: container.mjs DOMAIN ADDRESS HOST-LINK GUEST-LINK
import { readFileSync } from 'node:fs';
import { check, DESK, heard, launch, openPage, run, seconds, shot, until } from './kit.mjs';
import { enter, moves, openLink } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));
const [domain, address, ...links] = process.argv.slice(2);

/** Where this page's media goes. */
const way = (page) => page.evaluate(async () => {
  for (const connection of window.watched.peerConnections) {
    if (connection.connectionState === 'closed') continue;
    const report = await connection.getStats();
    for (const entry of report.values()) {
      const pair = entry.type === 'transport' && report.get(entry.selectedCandidatePairId);
      const server = pair && report.get(pair.remoteCandidateId);
      if (server) return `${server.protocol} ${server.address}:${server.port}`;
    }
  }
  return 'none';
});

async function main() {
  const browser = await launch('chromium', { language: 'ja', moreArgs: [`--host-resolver-rules=MAP ${domain} ${address}`] });
  const began = performance.now();
  const people = await Promise.all(links.map(async (link, at) => {
    const page = await openPage(browser, DESK);
    await openLink(page, link, names[at]);
    await enter(page);
    return { page, name: names[at] };
  }));
  for (const [at, { page, name }] of people.entries()) {
    const other = people[1 - at];
    const seen = await until(() => moves(page, other.name, 1000), 15_000);
    check(`${name} sees the other`, seen !== null, seconds(performance.now() - began));
    check('and hears', (await until(async () => (await heard(page)).voices > 0, 10_000)) !== null);
    const led = await way(page);
    check('media goes to the address of the domain, without another word', led === `udp ${address}:443`, led);
  }
  await shot(people[1].page, 'container');
}

await run(main, 60_000);
