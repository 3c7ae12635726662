#!/usr/bin/env node
// What is newest in browsers, in Firefox: end-to-end encryption with somebody in Chromium, both ways, and a background that
// hides the room. Needs a running server on which anybody may make a room (ENZA_ROOMS=open); tests/run starts one.
import { readFileSync } from 'node:fs';
import { clip, voice } from './fake.mjs';
import { check, DESK, heard, launch, openPage, run, seconds, shot, sleep, until, watch } from './kit.mjs';
import { enter, id, isLive, makeRoom, middleOf, moves, openLink, press, seat, tap } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));
const MOSS = [111, 128, 88];
const near = (colour, wanted) => colour.every((value, index) => Math.abs(value - wanted[index]) < 40);

async function hears(page) {
  if (await until(async () => (await heard(page)).voices > 0, 15_000) === null) return false;
  const before = (await heard(page)).energy;
  await sleep(1500);
  return (await heard(page)).energy > before;
}

async function main() {
  const chromium = await launch('chromium', { language: 'en', camera: clip('red'), microphone: voice() });
  const host = await openPage(chromium, DESK);
  watch('firefox-host', host);
  const { guest: guestLink, host: hostLink } = await makeRoom(host, 'Two browsers');
  await openLink(host, hostLink, names[0]);
  await enter(host);
  await until(() => isLive(host), 15_000);
  await press(host, 'people');
  await tap(host, id('room-actions'));
  await tap(host, id('room-settings'));
  await host.$eval('#rule-sealed', (box) => box.scrollIntoView({ block: 'center' }));
  await host.click('#rule-sealed');
  await until(async () => await host.$(id('sealed')) !== null && await isLive(host), 20_000);
  await host.keyboard.press('Escape');

  const firefox = await launch('firefox', { language: 'en' });
  const guest = await openPage(firefox, DESK);
  watch('firefox-guest', guest);
  await openLink(guest, guestLink, names[1]);
  await enter(guest);
  const inside = await until(async () => await isLive(guest) && await guest.$(id('sealed')) !== null, 25_000);
  check('Firefox enters an encrypted room, with the lock', inside !== null, seconds(inside));
  const there = await until(() => moves(guest, names[0], 1500), 20_000, 0);
  check('Firefox sees and hears Chromium', there !== null && await hears(guest), seconds(there));
  const here = await until(() => moves(host, names[1], 1500), 20_000, 0);
  check('Chromium sees and hears Firefox', here !== null && await hears(host), seconds(here));
  check('nobody has another key', await host.$(id('other-key')) === null && await guest.$(id('other-key')) === null);

  await press(guest, 'more');
  await guest.click(id('open-settings'));
  await guest.waitForSelector('#background');
  await guest.select('#background', 'moss');
  await guest.keyboard.press('Escape');
  let [shown, refused] = [false, false];
  const took = await until(async () => {
    shown = near(await middleOf(host, names[1]), MOSS);
    refused = await guest.$('[data-fault="camera background"]') !== null && !(await seat(host, names[1])).video;
    return shown || refused;
  }, 40_000);
  // Where it cannot be had, that has to be said, and the camera has to be off.
  check('a background chosen in Firefox is seen, or said to be impossible with the camera off',
    took !== null, `${shown ? 'seen' : refused ? 'said' : 'neither'}, ${seconds(took)}`);
  await shot(guest, 'firefox-background');
  await shot(host, 'firefox-seen');
}

await run(main, 120_000);
