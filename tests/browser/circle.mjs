#!/usr/bin/env node
// The circle over the page: a room made on the first page, a host and two guests, from the agreement and the waiting
// room to the end for all, each screen without a finding of axe. Muted means no packet at another browser's decoder.
// Needs a running server on which anybody may make a room (ENZA_ROOMS=open); tests/run starts one.
import { readFileSync } from 'node:fs';
import { isAccessible } from './axe.mjs';
import { clip, voice } from './fake.mjs';
import { check, DESK, launch, openPage, PHONE, run, seconds, sleep, until, watch } from './kit.mjs';
import { base, enter, fault, id, isLive, openLink, press, pressed, seat, tap } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));
/** Of the room that the host makes. */
const links = { host: '', guest: '' };

const inMenu = (page, words) => page.evaluate((wanted) => {
  const item = [...document.querySelectorAll('dialog.menu[open] [role^="menuitem"]')].find((one) => one.textContent.includes(wanted));
  item?.click();
  return item !== undefined;
}, words);
const textOf = (page, selector) => page.$eval(selector, (one) => one.textContent).catch(() => '');
const places = (page) => page.$$eval(`${id('hands')} .person`, (rows) => rows.map((row) => row.dataset.identity));

/** Audio packets that arrive within two seconds, over all connections of a page. */
async function packets(page) {
  const count = () => page.evaluate(async () => {
    let sum = 0;
    for (const connection of window.watched.peerConnections) {
      if (connection.connectionState === 'closed') continue;
      for (const entry of (await connection.getStats()).values()) {
        if (entry.type === 'inbound-rtp' && entry.kind === 'audio') sum += entry.packetsReceived;
      }
    }
    return sum;
  });
  const before = await count();
  await sleep(2000);
  return (await count()) - before;
}
const falls = (page) => until(async () => (await packets(page)) === 0, 8000, 0);

/** Opens the menu of somebody's seat and presses one line of it. */
async function forSeat(page, name, words) {
  await page.evaluate((wanted) => {
    const all = [...document.querySelectorAll('li[data-testid="seat"]')];
    all.find((one) => one.querySelector('.plate .name').textContent.trim() === wanted)?.querySelector('.sit').click();
  }, name);
  await page.waitForSelector('dialog.menu[open]', { timeout: 5000 });
  return inMenu(page, words);
}

/** From the link past the agreement, if one is asked for, to the preview. */
async function arrive(page, name, step = async () => {}) {
  await page.goto(links.guest, { waitUntil: 'load' });
  await page.waitForSelector(`#name, ${id('agreement')}`, { timeout: 10_000 });
  if (await page.$(id('agreement'))) {
    await step('agreement');
    await page.click('.check input');
    await page.click(`${id('agreement')} .btn.main`);
  }
  await page.waitForSelector('#name', { timeout: 5000 });
  await page.type('#name', name);
  await page.click('form.narrow button.main');
  await until(() => pressed(page, 'camera'), 15_000);
}
const knock = async (page) => {
  await page.click('form.wide button.main');
  return until(() => page.$(id('waiting')), 8000);
};

/** A room of its own, so that its rules are nobody else's. */
async function create(host) {
  await host.goto(`${base}/`, { waitUntil: 'load' });
  await tap(host, id('make-room'));
  await host.waitForSelector('#title');
  await isAccessible(host, 'circle', 'create');
  await host.type('#title', 'Thursday circle');
  await host.click(`${id('create')} .btn.main`);
  await host.waitForSelector(id('made'));
  await isAccessible(host, 'circle', 'made');
  links.guest = await host.$eval('#guest-link', (field) => field.value);
  links.host = await host.$eval('#host-link', (field) => field.value);
  check('a room is made in one step, with a link for guests and one for the host', links.guest.startsWith(`${base}/join#`)
    && links.host.startsWith(`${base}/join#`) && links.guest !== links.host);
  const paper = await onPaper(host);
  check('printed, the guests’ link stands on one page, and the host’s does not', paper.pages === 1 && paper.words.includes(links.guest)
    && paper.words.includes('Thursday circle') && !paper.words.includes(links.host), `${paper.pages} pages`);
  check('the code and the text to paste hold the guests’ link', (await host.$('.qr path')) !== null
    && (await host.$eval('#letter', (field) => field.value)).includes(links.guest));
}

/** Text that stands on paper, and on how many pages. */
async function onPaper(page) {
  await page.emulateMediaType('print');
  const words = await page.evaluate(() => document.body.innerText);
  // While the medium is paper: as `screen` it would print what is on the screen.
  const sheet = Buffer.from(await page.pdf({ preferCSSPageSize: true })).toString('latin1');
  await page.emulateMediaType(null);
  return { words, pages: sheet.match(/\/Type\s*\/Page\b/g)?.length ?? 0 };
}

async function invites(host) {
  await tap(host, id('room-actions'));
  await tap(host, id('invites'));
  await host.waitForSelector('dialog.dialog[open]');
  // The list comes a moment after its dialog.
  await until(async () => (await host.$$(`${id('invite-list')} li`)).length > 1, 5000);
  const before = (await host.$$(`${id('invite-list')} li`)).length;
  await tap(host, id('make-invite'));
  const fresh = await until(async () => (await host.$eval('#fresh-link', (field) => field.value)).includes('/join#')
    && (await host.$$(`${id('invite-list')} li`)).length === before + 1, 5000);
  check('the host makes another link inside the room', fresh !== null, seconds(fresh));
  const paper = await onPaper(host);
  const link = await host.$eval('#fresh-link', (field) => field.value);
  check('printed, that link stands alone on one page', paper.pages === 1 && paper.words.includes(link) && !paper.words.includes(names[0]),
    `${paper.pages} pages, ${paper.words.length} characters`);
  await isAccessible(host, 'circle', 'invites');
  await host.evaluate(() => document.querySelector('[data-testid="invite-list"] li:last-child .btn').click());
  const revoked = await until(async () => (await host.$$(`${id('invite-list')} li`)).length === before, 5000);
  check('and takes one back', revoked !== null, seconds(revoked));
  await host.keyboard.press('Escape');
}

async function door(host, ann, ben) {
  await press(host, 'people');
  await tap(host, id('room-actions'));
  await tap(host, id('room-settings'));
  await isAccessible(host, 'circle', 'room settings');
  await tap(host, '#rule-lobby');
  await host.type('#question', 'How are you?');
  await host.type('#promises', 'What is said here stays here.');
  await tap(host, id('room-done'));
  const shown = await until(async () => (await textOf(host, id('question'))).includes('How are you?'), 5000);
  check('the question stands in the middle', shown !== null);

  await arrive(ann, names[1], (step) => isAccessible(ann, 'circle', step));
  check('a guest reads the agreement, then waits before the door', (await knock(ann)) !== null);
  check('before the door there is no call', (await ann.evaluate(() => window.watched.peerConnections.length)) === 0);
  await isAccessible(ann, 'circle', 'waiting');
  const seen = await until(async () => (await textOf(host, id('door'))).includes(names[1]), 5000);
  check('the host sees who waits', seen !== null, seconds(seen));
  await isAccessible(host, 'circle', 'people panel');
  await host.evaluate(() => [...document.querySelectorAll('[data-testid="door"] > .btn')].at(-1).click());
  await host.waitForSelector('#door-line');
  await host.type('#door-line', 'One moment, please.');
  await host.keyboard.press('Enter');
  const told = await until(async () => (await textOf(ann, id('host-line'))).includes('One moment, please.'), 5000);
  check('the host’s line reaches who waits', told !== null, seconds(told));
  await tap(host, `${id('door')} .person .btn.main`);
  const inside = await until(() => isLive(ann), 10_000);
  check('let in, one is in the room', inside !== null, seconds(inside));

  await arrive(ben, names[2]);
  await knock(ben);
  await tap(host, `${id('door')} .person .btn.square`);
  check('declined is said plainly', (await until(async () => (await fault(ben)) === 'declined', 5000)) !== null);
  await isAccessible(ben, 'circle', 'declined');
  await arrive(ben, names[2]);
  await knock(ben);
  await tap(host, `${id('door')} .person .btn.main`);
  check('asking again is possible', (await until(() => isLive(ben), 10_000)) !== null);

  const twice = await ben.browserContext().newPage();
  await twice.goto(ben.url(), { waitUntil: 'load' });
  await twice.waitForSelector(id('agreement'), { timeout: 15_000 });
  await twice.click(`${id('agreement')} input`);
  await twice.click(`${id('agreement')} .btn.main`);
  check('a second window of the same browser is told of the first', (await until(() => twice.$(id('elsewhere')), 5000)) !== null);
  await isAccessible(twice, 'circle', 'elsewhere');
  await twice.close();
}

async function voices(host, ann, ben) {
  await press(ann, 'microphone');
  check('an open microphone is heard', (await until(async () => (await packets(ben)) > 50, 10_000, 0)) !== null);
  check('the host finds “Mute” at the seat', await forSeat(host, names[1], 'Mute'));
  const silent = await falls(ben);
  check('muted by the host: not one packet in two seconds', silent !== null, seconds(silent));
  check('and her own button says so', (await until(async () => !(await pressed(ann, 'microphone')), 3000)) !== null);
  await forSeat(host, names[1], 'Ask to unmute');
  await tap(ann, `${id('asked')} .btn.main`);
  check('asked, she opens it herself', (await until(() => pressed(ann, 'microphone'), 5000)) !== null);
  check('and is heard again', (await until(async () => (await packets(ben)) > 50, 10_000, 0)) !== null);

  await press(ann, 'away-small');
  check('someone came in: a curtain over everything', (await until(() => ann.$(id('curtain')), 2000)) !== null);
  check('nothing names the room', !(await ann.title()).includes('·') && !(await ann.evaluate(() => document.body.innerText)).includes(names[0]));
  check('and nothing of her is heard', (await falls(ben)) !== null);
  await isAccessible(ann, 'circle', 'curtain');
  await tap(ann, `${id('curtain')} .btn.main`);
  check('back on the seat, the microphone stays off', (await until(() => isLive(ann), 5000)) !== null && !(await pressed(ann, 'microphone')));
}

async function handsAndTexts(host, ann, ben) {
  await press(ben, 'hand');
  await until(async () => (await places(host)).length === 1, 5000);
  await press(ann, 'hand');
  const nth = await until(async () => (await ann.$eval(id('hand'), (one) => one.dataset.place)) === '2', 5000);
  check('the second hand knows its place', nth !== null, seconds(nth));
  const aloud = await until(async () => (await textOf(ann, id('said-hand'))).includes('2 in line'), 3000);
  check('and is told so aloud', aloud !== null, seconds(aloud));
  const [first, second] = await places(host);
  const annId = (await seat(host, names[1])).identity;
  check('the host sees hands in the order in which they went up', second === annId && first !== undefined && first !== annId);
  const before = annId;
  await ann.reload({ waitUntil: 'load' });
  check('a reload comes back', (await until(() => isLive(ann), 15_000)) !== null);
  check('to the same seat, with the same hand', (await until(async () => (await seat(host, names[1]))?.identity === before
    && (await ann.$eval(id('hand'), (one) => one.dataset.place)) === '2', 5000)) !== null);

  await press(ann, 'chat');
  await ann.type('#say', 'See https://example.org/a and <b>this</b>');
  await tap(ann, id('send'));
  const mark = await until(async () => (await textOf(ben, id('chat'))).includes('1'), 5000);
  check('a text leaves a mark while the panel is closed', mark !== null, seconds(mark));
  await press(ben, 'chat');
  const link = await ben.$eval(`${id('text')} a`, (one) => [one.getAttribute('href'), one.rel]).catch(() => []);
  check('a link is a link, markup is not', link[0] === 'https://example.org/a' && link[1].includes('noopener')
    && (await textOf(ben, id('text'))).includes('<b>this</b>'));
  await isAccessible(ben, 'circle', 'text panel');
  await ann.evaluate(() => document.querySelector('.segments.small input[value="hosts"]').click());
  await ann.type('#say', 'I need a hand.');
  await tap(ann, id('send'));
  await press(host, 'chat');
  const whispered = await until(async () => (await host.$$(id('text'))).length === 2, 5000);
  check('a line to the hosts is seen by the host alone', whispered !== null && (await ben.$$(id('text'))).length === 1);
  await host.click(`${id('text')} .btn.square`);
  const removed = await until(async () => (await ben.$$(id('text'))).length === 0, 5000);
  check('the host removes a text everywhere', removed !== null, seconds(removed));
  await press(ben, 'chat');
}

async function roomForAll(host, ann, ben, carl) {
  await forSeat(host, names[1], 'Show large to everyone');
  const shown = await until(async () => (await ben.$eval('#circle', (floor) => floor.dataset.view)) === 'stage'
    && (await ben.$eval(id('large'), (one) => one.dataset.identity)) === (await seat(host, names[1])).identity, 8000);
  check('spotlight: everybody sees her large', shown !== null, seconds(shown));
  await forSeat(host, names[1], 'Stop showing large');
  await forSeat(host, names[1], 'Make a host too');
  const role = () => ann.$eval(id('room'), (room) => room.dataset.role);
  const made = await until(async () => await role() === 'host' && await host.$(id('undo')), 5000);
  await tap(host, id('undo'));
  check('a host made by mistake is none again after “Undo”', made !== null && (await until(async () => await role() === 'speaker', 5000)) !== null);
  await press(host, 'people');
  await tap(host, id('room-actions'));
  await tap(host, id('room-settings'));
  await tap(host, '#rule-held');
  await host.type('#question', ' And now?');
  await host.keyboard.press('Escape');
  const asked = await until(async () => (await textOf(ann, id('said-question'))).includes('And now?'), 5000);
  check('what was typed is kept by Esc, too, and said to the others', asked !== null, seconds(asked));
  await until(async () => (await ann.$eval(id('microphone'), (one) => one.getAttribute('aria-disabled'))) === 'true', 5000);
  await ann.keyboard.press('Escape');
  await press(ann, 'microphone');
  check('a held microphone says so and stays shut', (await until(() => ann.$(id('held')), 3000)) !== null && !(await pressed(ann, 'microphone')));
  await tap(host, id('room-actions'));
  await tap(host, id('lock'));
  check('locked is one glance away', (await until(() => host.$(id('locked')), 5000)) !== null);
  await arrive(carl, names[3]);
  await carl.click('form.wide button.main');
  check('a locked room says so', (await until(async () => (await fault(carl)) === 'locked', 8000)) !== null);
  await forSeat(host, names[2], 'Remove');
  await host.waitForSelector('dialog.dialog[open]');
  await isAccessible(host, 'circle', 'remove');
  await tap(host, id('remove'));
  check('removed is said plainly', (await until(async () => (await fault(ben)) === 'removed', 5000)) !== null);
  await tap(host, id('room-actions'));
  await tap(host, id('end-room'));
  await tap(host, id('end'));
  const over = await until(async () => (await fault(ann)) === 'ended' && (await fault(host)) === 'ended', 8000);
  check('the end is the end for all', over !== null, seconds(over));
}

async function main() {
  const chromium = await launch('chromium', { language: 'en', camera: clip('red'), microphone: voice() });
  const host = await openPage(chromium, DESK);
  watch('circle-host', host);
  await create(host);
  await openLink(host, links.host, names[0]);
  await enter(host, false);
  await until(() => isLive(host), 15_000);
  const [ann, ben, carl] = [await openPage(chromium, PHONE), await openPage(chromium, DESK), await openPage(chromium, DESK)];
  watch('circle-ann', ann);
  watch('circle-ben', ben);
  await door(host, ann, ben);
  await invites(host);
  await voices(host, ann, ben);
  await handsAndTexts(host, ann, ben);
  await roomForAll(host, ann, ben, carl);
}

await run(main, 240_000);
