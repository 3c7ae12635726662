#!/usr/bin/env node
// Networks that let little through, each behind a strict NAT: whoever sits behind one is in the call within five seconds, with
// sound and picture both ways. The server speaks HTTPS on port 443, the one port it has; nothing is configured. The page /doctor
// says in one word what kind of network it is.
import { readFileSync } from 'node:fs';
import { doctorAsksOutside, farBrowser, layBehindWall, near, serveSecurely, wall } from './cable.mjs';
import { check, DESK, openPage, PHONE, run, seconds, shot, until } from './kit.mjs';
import { enter, moves, openLink, seat } from './room.mjs';

const LIMIT = 5000;
const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));

/** What is let through, how media may then go (straight over UDP or TCP, or by the relay over TLS), and the doctor's word for it. */
const walls = [
  ['none', 'a symmetric NAT', ['udp'], 'symmetric-nat'],
  ['udp', 'no UDP', ['tcp', 'relay over tls'], 'no-udp'],
  ['port 443', 'port 443 over TCP alone', ['tcp', 'relay over tls'], 'only-port'],
  ['tls', 'TLS alone', ['relay over tls'], 'only-tls'],
];

/** Looks at the server from behind the wall, by the page's address or by the link that the command line showed. */
async function examine(browser, address, words, expected) {
  const page = await openPage(browser, PHONE);
  await page.goto(address, { waitUntil: 'load' });
  const verdict = () => page.$eval('[data-testid="doctor"]', (doctor) => doctor.dataset.verdict);
  const took = await until(async () => await verdict() !== '', 15_000);
  const said = took === null ? 'nothing' : await verdict();
  check(`${words}: the page /doctor says so`, said === expected, `${said} after ${seconds(took)}`);
  await shot(page, `doctor-${expected}`);
  await page.browserContext().close();
}

/** How media goes, and the voices that come: samples, of which made up; their energy. */
const state = (page) => page.evaluate(async () => {
  const said = { way: 'none', came: 0, concealed: 0, energy: 0 };
  for (const connection of window.watched.peerConnections) {
    if (connection.connectionState === 'closed') continue;
    const report = await connection.getStats();
    for (const entry of report.values()) {
      if (entry.type === 'transport') {
        const own = report.get(report.get(entry.selectedCandidatePairId)?.localCandidateId);
        if (own) said.way = own.candidateType === 'relay' ? `relay over ${own.relayProtocol}` : own.protocol;
      }
      if (entry.type === 'inbound-rtp' && entry.kind === 'audio') {
        said.came += entry.totalSamplesReceived ?? 0;
        said.concealed += (entry.concealedSamples ?? 0) - (entry.silentConcealedSamples ?? 0);
        said.energy += entry.totalAudioEnergy ?? 0;
      }
    }
  }
  return said;
});

/** Milliseconds until somebody's picture runs and a voice is heard. */
async function hearsAndSees(page, name) {
  const { energy } = await state(page);
  const [picture, voice] = await Promise.all([
    until(async () => ((await seat(page, name))?.frames ?? 0) > 0, 3 * LIMIT, 20),
    until(async () => (await state(page)).energy > energy, 3 * LIMIT, 20),
  ]);
  return picture === null || voice === null ? null : Math.max(picture, voice);
}

async function main() {
  await layBehindWall();
  const links = await serveSecurely();
  const one = await near(links.host, names[3], 'green');
  const browser = await farBrowser('blue');
  const guests = names.toSpliced(3, 1);
  const asking = doctorAsksOutside();
  for (const [at, [kind, words, ways, situation]] of walls.entries()) {
    await wall(kind);
    const page = await openPage(browser, DESK);
    const name = guests[at];
    await openLink(page, links.guest, name);
    const began = performance.now();
    await enter(page);
    const door = performance.now() - began;
    const [here, there] = await Promise.all([hearsAndSees(page, one.name), hearsAndSees(one.page, name)]);
    const took = here === null || there === null ? null : door + Math.max(here, there);
    check(`${words}: in the call with sound and picture both ways within 5 s`, took !== null && took <= LIMIT, seconds(took));
    const { way } = await state(page);
    check(`${words}: media goes as it must`, ways.includes(way), way);
    const before = await state(page);
    const { link, said } = at === 0 ? await asking : { link: new URL('/doctor', links.host).href };
    const examined = examine(browser, link, words, situation);
    check(`${words}: the picture goes on`, await moves(page, one.name) && await moves(one.page, name));
    await until(async () => (await state(page)).came - before.came > 96_000, 5000);
    const after = await state(page);
    const [came, concealed] = [after.came - before.came, after.concealed - before.concealed];
    check(`${words}: the voice comes whole`, came > 90_000 && concealed <= came * 0.2,
      `${(concealed / came * 100).toFixed(2)} % made up of ${came} samples`);
    await examined;
    if (said) {
      const { outside } = await said;
      check(`${words}: enza doctor says what the phone saw`, outside?.situation === situation, outside?.what);
    }
    await shot(page, `wall-${kind.replace(' ', '-')}`);
    await page.browserContext().close();
  }
}

await run(main, 120_000);
