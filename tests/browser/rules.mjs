#!/usr/bin/env node
// What a host sets for the circle, as guests meet it: a number of people that is nobody's business, hands by who has
// spoken least, seats in an order set by hand, texts that are kept for days. Needs a running server on which anybody may
// make a room (ENZA_ROOMS=open); tests/run starts one.
import { readFileSync } from 'node:fs';
import { isAccessible } from './axe.mjs';
import { clip, voice } from './fake.mjs';
import { check, DESK, launch, openPage, PHONE, run, seconds, sleep, until, watch } from './kit.mjs';
import { enter, fault, id, isLive, makeRoom, openLink, press, pressed, seat, tap } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));
const textOf = (page, selector) => page.$eval(selector, (one) => one.textContent).catch(() => '');

async function rule(host, change) {
  await tap(host, id('room-actions'));
  await tap(host, id('room-settings'));
  await host.waitForSelector('#room-words');
  await change();
  await host.keyboard.press('Escape');
  await until(async () => await host.$('dialog[open]') === null, 3000);
}
const flip = (host, name) => rule(host, async () => {
  await host.$eval(`#rule-${name}`, (box) => box.scrollIntoView({ block: 'center' }));
  await host.click(`#rule-${name}`);
});

async function hiddenCount(host, ann, guestLink, stranger) {
  const count = () => textOf(ann, id('people-small'));
  check('everybody sees how many there are', /3/.test(await count()), await count());
  await flip(host, 'count');
  const gone = await until(async () => !/\d/.test(await count()), 5000);
  check('until a host hides it: then guests see no number', gone !== null, await count());
  check('the host still does', /3/.test(await textOf(host, `.bar ${id('people')}`)), await textOf(host, `.bar ${id('people')}`));
  await press(ann, 'people-small');
  await ann.waitForSelector('.panel');
  check('nor in the list of people', (await ann.$$('.panel h3 .count')).length === 0);
  await ann.click('.panel header .btn.square');
  await flip(host, 'lobby');
  await openLink(stranger, guestLink, names[3]);
  await stranger.click('form.wide button.main');
  await stranger.waitForSelector(id('waiting'));
  check('nor before the door', !/\d/.test(await textOf(stranger, 'main')), await textOf(stranger, 'main'));
  await flip(host, 'count');
  await until(async () => /3/.test(await count()), 5000);
  await openLink(stranger, guestLink, names[3]);
  await stranger.click('form.wide button.main');
  const back = await until(async () => /3/.test(await textOf(stranger, id('waiting'))), 5000);
  check('shown again, it is there for who waits, too', back !== null, seconds(back));
  await stranger.browserContext().close();
  await flip(host, 'lobby');
}

/** The server measures in steps of ten seconds of speech; the fake voice is one all the time. */
async function speak(page) {
  await press(page, 'microphone');
  await until(() => pressed(page, 'microphone'), 5000);
  await sleep(14_000);
  await press(page, 'microphone');
}

async function leastFirst(host, ann, ben) {
  await flip(host, 'least');
  await speak(ann);
  const places = () => host.$$eval(`${id('hands')} .person`, (rows) => rows.map((row) => row.dataset.identity));
  const [annId, benId] = [(await seat(host, names[1])).identity, (await seat(host, names[2])).identity];
  await press(ann, 'hand');
  await until(async () => (await places()).length === 1, 5000);
  await press(ben, 'hand');
  const inOrder = () => until(async () => (await places()).join() === [benId, annId].join(), 5000);
  let order = await inOrder();
  // A slow machine sends less of the voice than it plays; what is counted later takes effect when a hand moves.
  for (let more = 0; order === null && more < 2; more++) {
    await speak(ann);
    await press(ben, 'hand');
    await until(async () => (await places()).length === 1, 5000);
    await press(ben, 'hand');
    order = await inOrder();
  }
  check('who has spoken least comes first, though the other hand was up before', order !== null, seconds(order));
  const said = await until(async () => (await textOf(ann, `.bar ${id('hand')}`)).includes('2'), 5000);
  check('and each sees their own place', said !== null, await textOf(ann, `.bar ${id('hand')}`));
  await press(ann, 'hand');
  await press(ben, 'hand');
  await until(async () => (await places().catch(() => [])).length === 0, 5000);
}

/** Clockwise from oneself. */
const ring = (page) => page.$$eval('li[data-testid="seat"]', (all) => all.map((one) => one.dataset.identity));

async function orderByHand(host, ann) {
  const before = await ring(host);
  const [annId, benId] = [(await seat(host, names[1])).identity, (await seat(host, names[2])).identity];
  const rows = () => host.$$eval(`${id('seat-order')} .person`, (all) => all.map((row) => row.dataset.identity));
  await host.click(id('order-seats'));
  await host.waitForSelector(id('seat-order'));
  await isAccessible(host, 'rules', 'order of seats');
  const list = await rows();
  check('the list is the ring', list.join() === before.join());
  // By keyboard alone: the second one up, twice.
  await host.focus(`[data-identity="${list[2]}"] ${id('earlier')}`);
  await host.keyboard.press('Enter');
  const moved = await until(async () => (await rows()).indexOf(list[2]) === 1, 5000);
  check('a host moves somebody one seat earlier by keyboard', moved !== null, seconds(moved));
  check('the focus goes with them', (await host.evaluate(() => document.activeElement?.closest('.person')?.dataset.identity)) === list[2]);
  check('and it is said', (await textOf(host, id('order-said'))).length > 0, await textOf(host, id('order-said')));
  const after = await until(async () => {
    const seen = await ring(ann);
    return seen[0] === annId && seen[(seen.indexOf(benId) + 1) % 3] !== undefined
      && seen.slice(seen.indexOf(before[0])).concat(seen.slice(0, seen.indexOf(before[0]))).join() === [before[0], before[2], before[1]].join();
  }, 5000);
  check('everybody’s ring has the new order', after !== null, seconds(after));
  await host.click(id('order-seats'));
  await until(async () => await host.$(id('seat-order')) === null, 3000);
}

async function keptText(host, ann, guestLink, hostLink, browser) {
  await rule(host, () => host.select('#history', '7'));
  await press(ann, 'chat');
  await ann.type('#say', 'Until next week.');
  await tap(ann, id('send'));
  await until(() => ann.$(id('text')), 5000);
  await press(host, 'people');
  await press(host, 'people');
  await tap(host, id('room-actions'));
  await tap(host, id('end-room'));
  await tap(host, id('end'));
  await until(async () => (await fault(ann)) === 'ended', 8000);
  // Another meeting, another person.
  const carl = await openPage(browser, DESK);
  watch('rules-carl', carl);
  await openLink(carl, guestLink, names[3], async (step) => {
    if (step === 'name') check('before entering it is said that the chat is kept', (await textOf(carl, id('chat-kept'))).includes('7'));
  });
  await enter(carl, false);
  await until(() => isLive(carl), 15_000);
  await press(carl, 'chat');
  const there = await until(async () => (await textOf(carl, id('text'))).includes('Until next week.') && (await textOf(carl, id('text'))).includes(names[1]), 5000);
  check('in the next meeting the text is there, with who wrote it', there !== null, seconds(there));
  const again = await openPage(browser, DESK);
  watch('rules-again', again);
  await openLink(again, hostLink, names[0]);
  await enter(again, false);
  await until(() => isLive(again), 15_000);
  await press(again, 'people');
  await rule(again, async () => {
    await again.select('#history', 'meeting');
    await again.waitForSelector(id('history-less'));
    await again.click(id('history-less'));
  });
  const forgotten = await until(async () => (await carl.$$(id('text'))).length === 0, 5000);
  check('kept no more, it is gone at once', forgotten !== null, seconds(forgotten));
}

async function main() {
  const chromium = await launch('chromium', { language: 'en', camera: clip('red'), microphone: voice() });
  const host = await openPage(chromium, DESK);
  watch('rules-host', host);
  const { guest: guestLink, host: hostLink } = await makeRoom(host, 'Monday circle');
  await openLink(host, hostLink, names[0]);
  await enter(host, false);
  await until(() => isLive(host), 15_000);
  const [ann, ben] = [await openPage(chromium, PHONE), await openPage(chromium, DESK)];
  for (const [page, name] of [[ann, names[1]], [ben, names[2]]]) {
    watch(`rules-${name}`, page);
    await openLink(page, guestLink, name);
    await enter(page, false);
    await until(() => isLive(page), 15_000);
  }
  await press(host, 'people');
  await hiddenCount(host, ann, guestLink, await openPage(chromium, PHONE));
  await leastFirst(host, ann, ben);
  await orderByHand(host, ann);
  await keptText(host, ann, guestLink, hostLink, chromium);
}

await run(main, 180_000);
