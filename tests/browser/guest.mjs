#!/usr/bin/env node
// What makes coming back easy and being here light: a name remembered when asked, signs without a word, and what a host
// sets for the door. Needs a running server on which anybody may make a room (ENZA_ROOMS=open); tests/run starts one.
import { readFileSync } from 'node:fs';
import { isAccessible } from './axe.mjs';
import { clip, voice } from './fake.mjs';
import { check, DESK, launch, openPage, PHONE, run, seconds, shot, until, watch } from './kit.mjs';
import { enter, id, isLive, makeRoom, openLink, press, pressed, seat, tap } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));
/** As somebody does who scrolls to it: the foot of the page covers what lies at the edge. */
const tick = async (page) => {
  await page.$eval(id('remember'), (box) => box.scrollIntoView({ block: 'center' }));
  await page.click(id('remember'));
};
const stored = (page) => page.evaluate(() => localStorage.getItem('enza.guest'));
const sign = (page, identity) => page.$eval(`li[data-identity="${identity}"] ${id('sign')}`, (one) => one.dataset.sign).catch(() => null);

/** The same browser once more, as after closing the tab: a new tab, the same storage of the browser. */
async function newTab(page) {
  const tab = await page.browserContext().newPage();
  await tab.setViewport(page.viewport());
  return tab;
}

async function remembered(guest, link) {
  await guest.goto(link, { waitUntil: 'load' });
  await tap(guest, `.check input`);
  await guest.click(`${id('agreement')} .btn.main`);
  await guest.waitForSelector('#name');
  check('nothing is remembered unless asked', !(await guest.$eval(id('remember'), (box) => box.checked)) && (await stored(guest)) === null);
  // One press gives a name and a drawn mark.
  await guest.click('.namerow .btn');
  const given = await guest.$eval('#name', (field) => field.value);
  check('one press gives a name and its mark', given.length > 0
    && (await guest.$eval('.marks input:checked', (mark) => mark.getAttribute('aria-label'))) === given, given);
  await tick(guest);
  await isAccessible(guest, 'guest', 'name');
  await guest.click('form.narrow button.main');
  await until(() => pressed(guest, 'camera'), 15_000);
  const kept = await stored(guest);
  check('asked, the browser keeps name and mark, and nothing of the room', kept?.includes(given) && !kept.includes('circle')
    && !kept.includes(link.split('#')[1]), kept ?? '');

  const back = await newTab(guest);
  let presses = 0;
  const pressing = async (selector) => {
    presses += 1;
    await tap(back, selector);
  };
  await back.goto(link, { waitUntil: 'load' });
  await back.waitForSelector('#name');
  check('who comes back finds the name, and no agreement to read again', (await back.$eval('#name', (field) => field.value)) === given);
  await pressing('form.narrow button.main');
  await until(() => pressed(back, 'camera'), 15_000);
  await pressing('form.wide button.main');
  const inside = await until(() => isLive(back), 15_000);
  check('and is in the room after two presses', inside !== null && presses === 2, `${presses} presses`);
  await back.close();

  const third = await newTab(guest);
  await third.goto(link, { waitUntil: 'load' });
  await third.waitForSelector('#name');
  await tick(third);
  check('taken back, it is gone at once', (await until(async () => (await stored(third)) === null, 2000)) !== null);
  await third.reload({ waitUntil: 'load' });
  check('and the agreement is asked again', (await until(() => third.$(id('agreement')), 5000)) !== null);
  await third.close();
}

async function signs(host, guest) {
  const hostId = await host.$eval('li.me', (one) => one.dataset.identity);
  const guestId = (await seat(host, names[1])).identity;
  await host.focus(id('more'));
  await host.keyboard.press('Enter');
  await host.waitForSelector('dialog.menu[open]');
  await isAccessible(host, 'guest', 'signs');
  await host.keyboard.press('ArrowDown');
  await host.keyboard.press('Enter');
  const seen = await until(async () => (await sign(guest, hostId)) === 'clap', 3000);
  check('a sign given by keyboard alone is seen at the seat', seen !== null, seconds(seen));
  await shot(guest, 'guest-sign');
  const said = await until(async () => /Applause/.test(await guest.$eval(id('reactions-said'), (one) => one.textContent)), 6000);
  check('and said politely, with the name', said !== null && (await guest.$eval(id('reactions-said'), (one) => one.textContent)).includes(names[0]));
  check('and gone after a few seconds', (await until(async () => (await sign(guest, hostId)) === null, 8000)) !== null);
  await press(guest, 'more');
  await guest.waitForSelector('dialog.menu[open]');
  await isAccessible(guest, 'guest', 'signs phone');
  await guest.click('.signs button:nth-of-type(3)');
  check('from a phone, too', (await until(async () => (await sign(host, guestId)) === 'heart', 3000)) !== null);
  await press(host, 'more');
  await tap(host, id('open-settings'));
  await host.waitForSelector('dialog.dialog[open]');
  await host.evaluate(() => [...document.querySelectorAll('.switch')].find((one) => one.textContent.includes('See the signs')).click());
  await host.keyboard.press('Escape');
  await press(guest, 'more');
  await tap(guest, '.signs button:nth-of-type(1)');
  check('who does not want to see them does not', (await until(() => sign(guest, guestId), 3000)) !== null && (await sign(host, guestId)) === null
    && (await host.$(id('reactions-said'))) === null);
}

async function door(host, stranger, link) {
  await press(host, 'people');
  await tap(host, id('room-actions'));
  await tap(host, id('room-settings'));
  await until(async () => (await host.$eval(id('passphrase'), (one) => one.dataset.asked)) === 'false', 5000);
  await host.type('#passphrase', 'warm tea');
  await host.click(id('set-passphrase'));
  const set = await until(async () => (await host.$eval(id('passphrase'), (one) => one.dataset.asked)) === 'true', 8000);
  check('a host sets a passphrase on the page', set !== null, seconds(set));
  await host.select('#hand-over', '15');
  await isAccessible(host, 'guest', 'room settings');
  await stranger.goto(link, { waitUntil: 'load' });
  check('a newcomer is asked for it', (await until(() => stranger.$('#word'), 8000)) !== null);
  await host.click(id('drop-passphrase'));
  check('and taken away again', (await until(async () => (await host.$eval(id('passphrase'), (one) => one.dataset.asked)) === 'false', 5000)) !== null);
  await stranger.reload({ waitUntil: 'load' });
  await stranger.waitForSelector('#name');
  check('then nobody is asked', (await stranger.$('#word')) === null);
  await host.keyboard.press('Escape');
}

async function main() {
  const chromium = await launch('chromium', { language: 'en', camera: clip('red'), microphone: voice() });
  const host = await openPage(chromium, DESK);
  watch('guest-host', host);
  const { guest: guestLink, host: hostLink } = await makeRoom(host, 'Friday circle');
  await openLink(host, hostLink, names[0]);
  await enter(host, false);
  await until(() => isLive(host), 15_000);
  const guest = await openPage(chromium, PHONE);
  watch('guest', guest);
  await openLink(guest, guestLink, names[1]);
  await enter(guest, false);
  await until(async () => (await seat(host, names[1]))?.width > 0, 15_000);

  await signs(host, guest);
  await door(host, await openPage(chromium, DESK), guestLink);

  await tap(host, id('room-actions'));
  await tap(host, id('room-settings'));
  check('and what happens when all hosts have left is kept', (await host.$eval('#hand-over', (one) => one.value)) === '15');
  await host.type('#promises', 'What is said here stays here.');
  await tap(host, id('room-done'));
  await remembered(await openPage(chromium, PHONE), guestLink);
}

await run(main, 120_000);
