#!/usr/bin/env node
// The page as people use it: two in Chromium and one in Firefox open the printed links and see and hear each other;
// then what happens on a real line and with a wrong link. Needs a running server; tests/run starts one.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { clip, colourOf, voice } from './fake.mjs';
import { check, DESK, heard, kill, launch, openPage, run, seconds, shot, sleep, until, watch } from './kit.mjs';
import {
  base, comeBack, enter, fault, hasLeft, isLive, middleOf, moves, openLink, press, pressed, printedLinks, seat, seats,
} from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));
const links = printedLinks();

/** Who is in the room. Each has a browser of their own; in Chromium the camera shows one plain colour. */
const people = [
  { name: names[0], kind: 'chromium', language: 'ja', colour: 'red', link: links.host },
  { name: names[1], kind: 'chromium', language: 'ja', colour: 'blue', link: links.guest },
  { name: names[2], kind: 'firefox', language: 'ja', link: links.guest },
];
const [moon, ginkgo, swallow] = people; // the host, a guest in Chromium, a guest in Firefox
const pairs = () => people.flatMap((viewer) => people.filter((p) => p !== viewer).map((sender) => [viewer, sender]));
const title = (person) => `${person.kind} ${people.indexOf(person) + 1}`;

const RETURN_LIMIT = 15_000; // after a blink of the line
const GONE_LIMIT = 5000; // after a closed tab: the seat says that its person is not there
const FREE_LIMIT = 12_000; // and is free: the circle waits five seconds for somebody who only reloads

async function start(person) {
  const camera = person.colour && clip(person.colour);
  person.browser = await launch(person.kind, { language: person.language, camera, microphone: voice() });
  person.page = await openPage(person.browser, DESK);
  watch(`${person.kind}-${people.indexOf(person) + 1}`, person.page);
  await openLink(person.page, person.link, person.name);
  await enter(person.page);
}

async function everybodySeesEverybody(when) {
  for (const [viewer, sender] of pairs()) {
    const way = `${title(viewer)} sees ${title(sender)}`;
    const sat = await until(() => seat(viewer.page, sender.name), 15_000);
    if (!check(`${way} on a seat${when}`, sat !== null, seconds(sat))) continue;
    const shown = await until(async () => (await seat(viewer.page, sender.name)).width > 0, 15_000);
    const running = shown !== null && await moves(viewer.page, sender.name);
    const picture = await seat(viewer.page, sender.name);
    check(`${way}: pictures come and change${when}`, running, `${picture?.width} px wide, ${picture?.frames} frames`);
  }
}

async function everybodyHearsEverybody(when) {
  for (const viewer of people) {
    const others = people.length - 1;
    const before = await until(async () => (await heard(viewer.page)).voices >= others, 15_000);
    const first = await heard(viewer.page);
    await sleep(2500);
    const then = await heard(viewer.page);
    check(`${title(viewer)} hears ${others} others${when}`, before !== null && then.energy > first.energy,
      `${then.voices} voices, energy ${first.energy.toFixed(4)} to ${then.energy.toFixed(4)}`);
  }
}

async function join() {
  for (const person of people) {
    const began = performance.now();
    await start(person);
    const live = await until(() => isLive(person.page), 15_000);
    check(`${title(person)} comes from the link into the room`, live !== null,
      `${seconds(performance.now() - began)}, of it connecting ${seconds(live)}`);
    await shot(person.page, `page-${person.kind}-${people.indexOf(person) + 1}`);
  }
  await everybodySeesEverybody('');
  await everybodyHearsEverybody('');
  for (const [viewer, sender] of pairs()) {
    if (!sender.colour) continue;
    const right = await until(async () => colourOf(await middleOf(viewer.page, sender.name)) === sender.colour, 5000);
    const seen = await middleOf(viewer.page, sender.name);
    check(`${title(viewer)} sees ${title(sender)}'s own camera`, right !== null, `rgb ${seen.join(' ')}, meant ${sender.colour}`);
  }
  const hosts = (await seats(ginkgo.page)).filter((one) => one.host).map((one) => one.name);
  check('the guest sees who the host is', hosts.join() === moon.name, `${hosts.length} marked as host`);
}

async function toggles() {
  for (const kind of ['microphone', 'camera']) {
    const seen = async (off) => {
      const now = await Promise.all([ginkgo, swallow].map((viewer) => seat(viewer.page, moon.name)));
      return now.every((one) => (kind === 'microphone' ? one.micOff : !one.video) === off);
    };
    await press(moon.page, kind);
    const off = await until(() => seen(true), 5000);
    check(`${kind} off: both others see it`, off !== null, seconds(off));
    check(`${kind} off: one's own button says so`, !(await pressed(moon.page, kind)));
    await press(moon.page, kind);
    const on = await until(() => seen(false), 8000);
    check(`${kind} on: both others see it`, on !== null, seconds(on));
    if (kind === 'camera') {
      const back = await Promise.all([ginkgo, swallow].map((viewer) => moves(viewer.page, moon.name, 8000)));
      check('camera on: pictures come again to both', back.every(Boolean));
    }
  }
}

async function speaking() {
  for (const viewer of [ginkgo, swallow]) {
    const shown = await until(async () => (await seat(viewer.page, moon.name)).speaking, 10_000, 30);
    check(`${title(viewer)} sees that ${title(moon)} speaks`, shown !== null, seconds(shown));
  }
  await press(moon.page, 'microphone');
  const quiet = await until(async () => !(await seat(ginkgo.page, moon.name)).speaking, 5000);
  await sleep(500);
  let stray = 0;
  for (let look = 0; look < 40; look++, await sleep(50)) stray += (await seat(ginkgo.page, moon.name)).speaking;
  check('with the microphone off nobody is shown speaking', quiet !== null && stray === 0, `${seconds(quiet)}, ${stray} of 40 looks`);
  await press(moon.page, 'microphone');
  await until(async () => !(await seat(ginkgo.page, moon.name)).micOff, 5000);
}

async function reload() {
  const began = performance.now();
  await ginkgo.page.reload({ waitUntil: 'load' });
  const back = await until(() => isLive(ginkgo.page), RETURN_LIMIT);
  check('a reload comes straight back into the room', back !== null, seconds(back && performance.now() - began));
  const once = await until(async () => (await seats(moon.page)).filter((one) => one.name === ginkgo.name).length === 1, 8000);
  check('after a reload one is there once, not twice', once !== null, seconds(once));
  await everybodySeesEverybody(' after the reload');
}

const openSockets = (page) => page.evaluate(() => window.watched.sockets.length);
const lastIsOpen = (page) => page.evaluate(() => window.watched.sockets.at(-1)?.readyState === WebSocket.OPEN);

/** The line of `person` blinks by `how`; nobody touches anything. A new WebSocket tells that it really did. */
async function blink(person, what, how, limit = RETURN_LIMIT) {
  const before = await openSockets(person.page);
  await how();
  const back = await until(async () => await openSockets(person.page) > before && await lastIsOpen(person.page)
    && await isLive(person.page) && !(await seat(moon.page, person.name)).gone, limit);
  check(`${what}: the line is back by itself`, back !== null, seconds(back));
  const both = await until(async () =>
    await moves(moon.page, person.name, 1500) && await moves(person.page, moon.name, 1500), RETURN_LIMIT);
  check(`${what}: pictures go both ways again`, both !== null, seconds(both));
  const others = (await seats(moon.page)).filter((one) => one.name === person.name).length;
  check(`${what}: the others see one seat`, others === 1, `${others}`);
}

async function line() {
  await blink(ginkgo, 'WebSocket cut', () =>
    ginkgo.page.evaluate(() => window.watched.sockets.forEach((socket) => socket.close())));
  await blink(ginkgo, 'browser offline for 6 s', async () => {
    await ginkgo.page.setOfflineMode(true);
    await sleep(6000);
    await ginkgo.page.setOfflineMode(false);
  });
  await blink(ginkgo, 'media transport lost', () =>
    ginkgo.page.evaluate(() => window.watched.peerConnections.forEach((connection) => connection.close())), 20_000);
}

/** Somebody disappears by `how`; the others must see it in time. */
async function disappears(person, what, how) {
  const began = performance.now();
  await how();
  const passed = () => performance.now() - began;
  const gone = await until(async () => (await seat(moon.page, person.name))?.gone !== false, GONE_LIMIT + 2000);
  const took = gone === null ? null : passed();
  check(`${what}: gone for the others within 5 s`, took !== null && took <= GONE_LIMIT, seconds(took));
  const free = await until(async () => !(await seat(moon.page, person.name)), FREE_LIMIT);
  check(`${what}: the seat is free within 12 s`, free !== null && passed() <= FREE_LIMIT, seconds(free && passed()));
}

async function leaving() {
  await press(ginkgo.page, 'leave');
  const said = await until(() => hasLeft(ginkgo.page), 3000);
  check('leaving shows the page after the room', said !== null);
  await disappears(ginkgo, 'Leave', async () => {});
  await comeBack(ginkgo.page);
  const again = await until(() => isLive(ginkgo.page), RETURN_LIMIT);
  check('"enter again" leads back', again !== null, seconds(again));

  await disappears(ginkgo, 'closed tab', () => ginkgo.page.close());
  await disappears(swallow, 'Firefox killed', async () => kill(swallow.browser));
  const again2 = { ...ginkgo, page: await openPage(ginkgo.browser, DESK) };
  await openLink(again2.page, ginkgo.link, ginkgo.name);
  await enter(again2.page);
  await until(() => seat(moon.page, ginkgo.name), 10_000);
  await disappears(ginkgo, 'Chromium killed', async () => kill(ginkgo.browser));
}

async function wrongLinks() {
  const page = await openPage(moon.browser, DESK);
  const cases = [
    ['a link to nothing', `${base}/join#AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`, 'invite-unknown'],
    ['a link cut short', `${base}/join`, 'no-invite'],
  ];
  const binary = process.env.ENZA_TEST_BINARY;
  if (binary && process.env.ENZA_TEST_DATA) {
    const cli = (...args) => execFileSync(binary, args, {
      encoding: 'utf8', env: { ...process.env, ENZA_DATA: process.env.ENZA_TEST_DATA, LANG: 'en_GB.UTF-8' },
    });
    const numbers = () => cli('invite', 'list').split('\n').map((line) => line.trim().split(/\s+/)[0]).filter(Boolean);
    const before = numbers();
    const secret = JSON.parse(cli('invite', 'create', '--role', 'guest', '--json')).link.split('#')[1];
    const [number] = numbers().filter((one) => !before.includes(one));
    await page.goto(`${base}/join#${secret}`);
    check('a new invite opens', await until(() => page.$('#name'), 5000) !== null);
    cli('invite', 'revoke', number);
    cases.push(['a revoked link', `${base}/join#${secret}`, 'invite-revoked']);
  }
  for (const [what, link, kind] of cases) {
    await page.goto('about:blank');
    await page.goto(link);
    const shown = await until(async () => await fault(page) === kind, 5000);
    check(`${what} is told in plain words`, shown !== null, await fault(page) ?? 'no fault page');
    await shot(page, `fault-${kind}`);
  }
  await page.close();
}

async function main() {
  await join();
  await toggles();
  await speaking();
  await reload();
  await line();
  await wrongLinks();
  await leaving();
}

await run(main, 600_000);
