#!/usr/bin/env node
// How one looks at the room: circle and stage, pictures in the size in which they are drawn, a shared screen, voices
// turned down, sound only, and the keys. Needs a running server; tests/run starts one.
import { readFileSync } from 'node:fs';
import { clip, voice } from './fake.mjs';
import { check, DESK, launch, openPage, PHONE, run, seconds, shot, sleep, until, watch } from './kit.mjs';
import { enter, isLive, openLink, press, pressed, printedLinks, seat, seats } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));
const links = printedLinks();

const view = (page) => page.$eval('#circle', (floor) => floor.dataset.view);
const large = (page) => page.$$eval('[data-testid="large"]', (all) => all.map((one) => ({
  identity: one.dataset.identity, source: one.dataset.source, width: one.querySelector('video')?.videoWidth ?? 0,
  drawn: one.getBoundingClientRect().width,
})));
const inMenu = async (page, what) => {
  await page.waitForSelector('dialog.menu[open]', { timeout: 5000 });
  await page.click(`dialog.menu[open] ${what}`);
};
const openSeat = (page) => page.click('li[data-testid="seat"]:not(.me) .sit');
const focused = (page) => page.evaluate(() => {
  const at = document.activeElement;
  return at?.dataset.testid ?? at?.className ?? '';
});
/** Video bytes received over all connections. */
const received = (page) => page.evaluate(async () => {
  let bytes = 0;
  for (const connection of window.watched.peerConnections) {
    if (connection.connectionState === 'closed') continue;
    for (const entry of (await connection.getStats()).values()) {
      if (entry.type === 'inbound-rtp' && entry.kind === 'video') bytes += entry.bytesReceived;
    }
  }
  return bytes;
});
const more = async (page, item) => {
  await press(page, 'more');
  await inMenu(page, `[data-testid="${item}"]`);
};
const loudness = (page) => page.$$eval('[data-part="voices"] audio', (all) => all.map((one) => [one.volume, one.muted]));

async function main() {
  const chromium = await launch('chromium', {
    language: 'en', camera: clip('red'), microphone: voice(), moreArgs: ['--auto-select-desktop-capture-source=Entire screen'],
  });
  const people = [];
  for (const [index, name] of [names[0], names[1]].entries()) {
    const page = await openPage(chromium, index === 0 ? DESK : PHONE);
    watch(`look-${index}`, page);
    await openLink(page, index === 0 ? links.host : links.guest, name);
    await enter(page);
    await until(() => isLive(page), 15_000);
    people.push(page);
  }
  const [desk, phone] = people;
  await until(async () => (await seat(desk, names[1])).width > 0, 15_000);

  // --- sizes ---
  const small = await until(async () => (await seat(phone, names[0])).width === 320, 15_000);
  check('a small seat is sent the small picture', small !== null, `${(await seat(phone, names[0])).width} px`);
  await openSeat(desk);
  await inMenu(desk, '[role="menuitemcheckbox"]');
  check('a pin turns to the stage', await until(async () => await view(desk) === 'stage', 2000) !== null);
  const big = await until(async () => (await large(desk))[0]?.width === 640, 15_000);
  check('a large picture is sent the large one', big !== null, JSON.stringify(await large(desk)));
  await desk.click('[data-testid="to-circle"]');
  check('back to the circle', await until(async () => await view(desk) === 'circle', 2000) !== null);
  await openSeat(phone);
  const sheet = await phone.$eval('dialog.menu', (menu) => Math.round(innerHeight - menu.getBoundingClientRect().bottom));
  check('on a phone the menu comes from below', sheet === 0, `${sheet} px from the edge`);
  await phone.keyboard.press('Escape');

  // --- a screen ---
  const before = await large(phone);
  await more(desk, 'share-screen');
  check('one is told that one shows a screen', await until(() => desk.$('[data-testid="sharing"]'), 8000) !== null);
  const came = await until(async () => (await large(phone))[0]?.source === 'screen' && (await large(phone))[0].width > 0, 15_000);
  check('the other sees the screen, large, without a press', before.length === 0 && came !== null, seconds(came));
  await shot(phone, 'look-screen-phone');
  await desk.click('[data-testid="sharing"] button');
  const gone = await until(async () => await view(phone) === 'circle', 8000);
  check('when it ends, the circle is back', gone !== null, seconds(gone));

  // --- voices ---
  await until(async () => (await loudness(desk)).length > 0, 10_000);
  await openSeat(desk);
  await inMenu(desk, '[role="menuitemradio"]:last-of-type');
  await desk.keyboard.press('Escape');
  check('somebody can be silenced for oneself', (await loudness(desk)).every(([volume, muted]) => volume === 0 && muted),
    JSON.stringify(await loudness(desk)));
  check('the seat says so', await desk.$('li:not(.me) use[href="#i-speaker-off"]') !== null);
  await openSeat(desk);
  await inMenu(desk, '[role="menuitemradio"]');
  await desk.keyboard.press('Escape');
  check('and heard again', (await loudness(desk)).every(([volume, muted]) => volume === 1 && !muted));

  // --- sound only ---
  await more(phone, 'open-settings');
  await phone.waitForSelector('input[name="pictures"][value="none"]');
  await phone.click('input[name="pictures"][value="none"]');
  await until(async () => (await seats(phone)).every((one) => !one.video), 5000);
  await sleep(700);
  const first = await received(phone);
  await sleep(1500);
  const then = await received(phone);
  check('sound only: no video comes any more', then === first, `${then - first} bytes in 1.5 s`);
  await phone.click('input[name="pictures"][value="all"]');
  const again = await until(async () => (await seat(phone, names[0])).width > 0, 10_000);
  check('and comes again', again !== null, seconds(again));
  await phone.click('input[name="theme"][value="dark"]');
  const dark = await phone.evaluate(() => getComputedStyle(document.body).backgroundColor);
  check('the dark theme holds at once', dark === 'rgb(29, 27, 24)', dark);
  await phone.click('input[name="theme"][value="device"]');
  await phone.keyboard.press('Escape');

  // --- keys ---
  const withAlt = async (page, key) => {
    await page.keyboard.down('Alt');
    await page.keyboard.press(key);
    await page.keyboard.up('Alt');
  };
  await withAlt(desk, 'g');
  check('Alt+G turns to the stage', await until(async () => await view(desk) === 'stage', 2000) !== null);
  await withAlt(desk, 'g');
  check('and back', await until(async () => await view(desk) === 'circle', 2000) !== null);
  await withAlt(desk, 'm');
  check('Alt+M closes the microphone', await until(async () => !(await pressed(desk, 'microphone')), 3000) !== null);
  await desk.focus('.room [data-testid="microphone"]');
  await desk.keyboard.down('Space');
  const open = await until(() => pressed(desk, 'microphone'), 4000);
  await sleep(300);
  await desk.keyboard.up('Space');
  const closed = await until(async () => !(await pressed(desk, 'microphone')), 3000);
  check('the space key, held, opens it for as long', open !== null && closed !== null, `${seconds(open)}, ${seconds(closed)}`);
  await sleep(500);
  check('and letting go is no press', !(await pressed(desk, 'microphone')));
  await withAlt(desk, '/');
  check('Alt+/ lists the keys', await until(() => desk.$('dialog[open] .keys'), 2000) !== null);
  await desk.keyboard.press('Escape');
  check('Esc closes the list', await until(async () => await desk.$('dialog[open]') === null, 2000) !== null);
  const places = [];
  for (let turn = 0; turn < 3; turn++) {
    await desk.keyboard.press('F6');
    places.push(await focused(desk));
  }
  check('F6 goes from region to region', new Set(places).size === 3, places.join(' · '));
  await desk.focus('li[data-testid="seat"] .sit[tabindex="0"]');
  await desk.keyboard.press('ArrowRight');
  await desk.keyboard.press('Enter');
  check('arrows and Enter open the next seat\'s menu', await until(() => desk.$('dialog.menu[open]'), 2000) !== null);
  await desk.keyboard.press('Escape');
  check('Esc leads back to the seat', await until(async () => await focused(desk) === 'sit', 2000) !== null, await focused(desk));
}

await run(main, 150_000);
