#!/usr/bin/env node
// End-to-end encryption: a room that asks for it is heard and seen with the key of its links, with another key nothing is
// decoded, without one there is text. The key is in no request of any page and in no line of the server's log.
// Needs a running server on which anybody may make a room (ENZA_ROOMS=open); tests/run starts one.
import { existsSync, readFileSync } from 'node:fs';
import { violations } from './axe.mjs';
import { clip, voice } from './fake.mjs';
import { check, DESK, heard, launch, openPage, PHONE, run, seconds, shot, sleep, until, watch } from './kit.mjs';
import { servePage } from './client.mjs';
import { base, enter, id, isLive, line, makeRoom, moves, openLink, press, pressed, seat, tap } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));
/** Everything that left any page: addresses, bodies, headers, frames of sockets. */
let left = '';

async function record(page) {
  const session = await page.createCDPSession();
  await session.send('Network.enable');
  session.on('Network.requestWillBeSent', ({ request }) => {
    left += `${request.url} ${JSON.stringify(request.headers)} ${request.postData ?? ''}\n`;
  });
  session.on('Network.webSocketCreated', ({ url }) => { left += `${url}\n`; });
  session.on('Network.webSocketFrameSent', ({ response }) => {
    left += `${response.opcode === 2 ? Buffer.from(response.payloadData, 'base64').toString('latin1') : response.payloadData}\n`;
  });
}

const decoded = (page) => page.evaluate(async () => {
  const sum = { received: 0, frames: 0 };
  for (const connection of window.watched.peerConnections) {
    if (connection.connectionState === 'closed') continue;
    for (const entry of (await connection.getStats()).values()) {
      if (entry.type !== 'inbound-rtp' || entry.kind !== 'video') continue;
      sum.received += entry.packetsReceived ?? 0;
      sum.frames += entry.framesDecoded ?? 0;
    }
  }
  return sum;
});
const sealed = (page) => page.$(id('sealed'));

async function meet(page, link, name, microphone = true) {
  await record(page);
  await openLink(page, link, name);
  await enter(page, microphone);
}

async function hears(page, name) {
  const first = await until(async () => (await heard(page)).voices > 0, 15_000);
  const before = (await heard(page)).energy;
  await sleep(1500);
  const after = (await heard(page)).energy;
  check(name, first !== null && after > before, `energy ${before.toFixed(4)} to ${after.toFixed(4)}`);
}

/** Turns encryption on or off, and closes the dialog. */
async function turn(host) {
  await tap(host, id('room-actions'));
  await tap(host, id('room-settings'));
  await host.$eval('#rule-sealed', (box) => box.scrollIntoView({ block: 'center' }));
  await host.click('#rule-sealed');
}
const whose = (page) => page.$eval(id('other-key'), (notice) => notice.dataset.whose).catch(() => null);

/** An app that knows nothing of encryption comes with its microphone open. */
async function stranger(browser, link, name, watchers) {
  const [invite] = link.split('#')[1].split('&');
  const answer = await fetch(`${base}/api/join`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ invite, name }),
  });
  const { token } = await answer.json();
  const page = await openPage(browser, DESK);
  await page.goto(await servePage(), { waitUntil: 'load' });
  const identity = await page.evaluate(async (url, words) => {
    const room = new window.LivekitClient.Room();
    await room.connect(url, words);
    await room.localParticipant.setMicrophoneEnabled(true);
    return room.localParticipant.identity;
  }, base.replace(/^http/, 'ws'), token);
  for (const watcher of watchers) {
    const seated = await until(() => watcher.$(`li[data-identity="${identity}"]`), 8000);
    await sleep(1500);
    const voices = await watcher.$$eval('[data-part="voices"] audio', (all) => all.map((one) => one.dataset.identity));
    check('an app that sends in the clear has its seat and is not heard', seated !== null && !voices.includes(identity), voices.join(' '));
  }
  await page.browserContext().close();
}

/** Runs in the page before its scripts: while `window.walled` holds, the call reaches nothing. */
function wall() {
  const Native = window.WebSocket;
  window.walled = true;
  window.tried = 0;
  window.WebSocket = class extends Native {
    constructor(address, ...rest) {
      const call = new URL(address).pathname.startsWith('/rtc');
      if (call) window.tried += 1;
      super(call && window.walled ? address.replace('/rtc', '/nowhere') : address, ...rest);
    }
  };
}

/** A host turns encryption on while somebody's call is still being tried: who has no key gets none in the clear. */
async function betweenTries(chromium, host, guestLink) {
  const fay = await openPage(chromium, DESK);
  watch('sealed-fay', fay);
  await fay.evaluateOnNewDocument(wall);
  await openLink(fay, guestLink.slice(0, guestLink.indexOf('&')), names[3]);
  await fay.click('form.wide button.main');
  const trying = await until(() => fay.evaluate(() => window.tried > 0), 15_000);
  await turn(host);
  await until(async () => (await sealed(host)) !== null, 15_000);
  await host.keyboard.press('Escape');
  await fay.evaluate(() => { window.walled = false; });
  const text = await until(async () => (await fay.$eval(id('text-only'), (one) => one.textContent)).includes('no key'), 40_000);
  check('turned on between two tries: without a key there is text, and no call in the clear under a lock', trying !== null && text !== null
    && (await sealed(fay)) === null && (await seat(host, names[3]))?.video === false, seconds(text));
  await fay.browserContext().close();
}

async function main() {
  const chromium = await launch('chromium', { language: 'en', camera: clip('red'), microphone: voice() });
  const [host, ann, carl, dora] = await Promise.all([DESK, PHONE, DESK, DESK].map((size) => openPage(chromium, size)));
  for (const [name, page] of Object.entries({ host, ann, carl, dora })) watch(`sealed-${name}`, page);
  const { guest: guestLink, host: hostLink } = await makeRoom(host, 'Sealed circle');
  const key = /&k=([\w-]{43})$/.exec(guestLink)?.[1];
  check('the links of a new room hold one key', key !== undefined && hostLink.endsWith(`&k=${key}`));

  await meet(host, hostLink, names[0]);
  await until(() => isLive(host), 15_000);
  await meet(ann, guestLink, names[1]);
  await until(() => isLive(ann), 15_000);
  await until(async () => (await seat(host, names[1]))?.width > 0, 15_000);
  check('a room that does not ask for it shows no lock', (await sealed(host)) === null && (await sealed(ann)) === null);

  await press(host, 'people');
  await turn(host);
  const turned = await until(async () => (await sealed(host)) && (await sealed(ann)) && (await isLive(host)) && (await isLive(ann)), 20_000);
  check('turned on, everybody’s call is made anew and has the lock', turned !== null, seconds(turned));
  const own = await host.$eval('#own-link', (field) => field.value).catch(() => '');
  check('the host is given their own link with the key, to keep', own === hostLink, own.slice(0, 40));
  await host.keyboard.press('Escape');
  check('what was open is open, on both sides', (await until(async () => (await pressed(host, 'microphone')) && (await pressed(ann, 'camera')), 10_000)) !== null);
  const seen = await until(() => moves(ann, names[0], 1000), 20_000, 0);
  check('with the key pictures are decoded', seen !== null && (await until(() => moves(host, names[1], 1000), 10_000, 0)) !== null, seconds(seen));
  await hears(ann, 'and voices');
  check('who speaks is still seen', (await until(async () => (await seat(ann, names[0])).speaking, 10_000)) !== null);
  await shot(host, 'sealed-host');
  await shot(ann, 'sealed-phone');
  const wrong = await violations(host);
  check('axe finds nothing', wrong.length === 0, wrong.join(' | '));

  const other = `${guestLink.slice(0, -43)}${'A'.repeat(43)}`;
  await meet(carl, other, names[2]);
  await until(() => isLive(carl), 15_000);
  const flows = await until(async () => (await decoded(carl)).received > 100, 20_000);
  await sleep(3000);
  const got = await decoded(carl);
  const silent = (await heard(carl)).energy;
  check('with another key packets come and nothing is decoded', flows !== null && got.frames === 0 && silent === 0,
    `${got.received} packets, ${got.frames} frames, energy ${silent}`);
  check('which is said to whom it concerns: the key is theirs', (await until(async () => (await whose(carl)) === 'mine', 5000)) !== null, await whose(carl));
  const told = await until(async () => (await whose(host)) === 'theirs' && (await host.$eval(id('other-key'), (one) => one.textContent)).includes(names[2]), 5000);
  check('the host is told whose it is', told !== null, await whose(host));
  const noted = await until(async () => (await ann.evaluate(() => [...document.querySelectorAll('li[data-testid="seat"] .noted')].map((one) => one.textContent).join())).includes(names[2]), 5000);
  check('and everybody else sees it at that seat alone', noted !== null && (await whose(ann)) === null, await whose(ann));
  await shot(carl, 'sealed-other-key');

  await carl.browserContext().close();

  await record(dora);
  await openLink(dora, guestLink.slice(0, guestLink.indexOf('&')), names[3]);
  await dora.click('form.wide button.main');
  const text = await until(async () => (await line(dora)) === 'text' && (await dora.$eval(id('text-only'), (one) => one.textContent)).includes('no key'), 15_000);
  check('without a key one takes part by text, and is told the next step', text !== null, seconds(text));
  check('and has no call', (await dora.evaluate(() => window.watched.peerConnections.length)) === 0);
  await shot(dora, 'sealed-no-key');

  await tap(host, id('room-actions'));
  await tap(host, id('invites'));
  await tap(host, id('make-invite'));
  await until(async () => (await host.$eval('#fresh-link', (field) => field.value)).includes('/join#'), 5000);
  const fresh = await host.$eval('#fresh-link', (field) => field.value);
  check('links that a host makes hold the key', fresh.endsWith(`&k=${key}`));
  await host.keyboard.press('Escape');
  await openLink(dora, fresh, names[3]);
  await dora.click('form.wide button.main');
  const now = await until(() => moves(dora, names[0], 1000), 25_000, 0);
  check('and with such a link she sees and hears', now !== null, seconds(now));

  await dora.browserContext().close();

  const evan = await openPage(chromium, DESK);
  await evan.evaluateOnNewDocument(() => {
    delete window.RTCRtpScriptTransform;
    delete window.RTCRtpSender.prototype.createEncodedStreams;
  });
  await record(evan);
  await openLink(evan, guestLink, names[2]);
  await evan.click('form.wide button.main');
  const unable = await until(async () => (await evan.$eval(id('text-only'), (one) => one.textContent)).includes('This browser cannot'), 15_000);
  check('a browser that cannot encrypt is told so, and takes part by text', unable !== null && (await line(evan)) === 'text', seconds(unable));

  await evan.browserContext().close();
  await stranger(chromium, guestLink, 'Other app', [host, ann]);

  // Called away: the call is made anew meanwhile, and nobody is heard behind the curtain.
  await press(ann, 'away-small');
  await until(() => ann.$(id('curtain')), 2000);
  await turn(host);
  await until(async () => (await sealed(host)) === null, 15_000);
  await host.keyboard.press('Escape');
  const anew = await until(async () => (await ann.$$('[data-part="voices"] audio')).length > 0, 20_000);
  await sleep(1000);
  const loud = await ann.$$eval('[data-part="voices"] audio', (all) => all.map((one) => one.muted));
  check('a call made anew behind the curtain stays hushed', anew !== null && loud.length > 0 && loud.every(Boolean), `${loud}`);
  await tap(ann, `${id('curtain')} .btn.main`);
  const again = await until(async () => (await ann.$$eval('[data-part="voices"] audio', (all) => all.map((one) => one.muted))).every((muted) => !muted), 5000);
  check('and is heard again from the seat', again !== null, seconds(again));

  await betweenTries(chromium, host, guestLink);

  check('the key left no page', left.length > 10_000 && !left.includes(key) && !left.includes(encodeURIComponent(key)), `${left.length} characters looked through`);
  const log = process.env.ENZA_TEST_LOG;
  if (log && existsSync(log)) {
    const lines = readFileSync(log, 'utf8');
    check('and stands in no line of the server’s log', lines.length > 0 && !lines.includes(key), `${lines.length} characters`);
  }
}

await run(main, 240_000);
