#!/usr/bin/env node
// What people are told when something does not work: each trouble has its own sentence and a next step, and nothing
// opens a microphone by itself. Needs a running server; tests/run starts one.
import { readFileSync } from 'node:fs';
import { voice } from './fake.mjs';
import { check, DESK, launch, openPage, PHONE, run, seconds, shot, sleep, until } from './kit.mjs';
import { base, enter, fault, isLive, line, openLink, press, pressed, printedLinks, seats } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));
const links = printedLinks();

const helps = (page) => page.$$eval('.help h2, .help p', (all) => all.map((one) => one.textContent));
const deviceFaults = (page) => page.$$eval('[data-testid="device-fault"]', (all) => all.map((one) => one.dataset.fault));
const said = (page) => page.evaluate(() => document.body.innerText);

/** To the preview, without waiting for a camera. */
async function toPreview(page, name, link = links.guest) {
  await page.goto(link, { waitUntil: 'load' });
  await page.waitForSelector('#name', { timeout: 15_000 });
  await page.type('#name', name);
  await page.click('form.narrow button.main');
  await page.waitForSelector('form.wide', { timeout: 15_000 });
}

/** Runs in the page before its scripts: every device answers with this error while `window.noDevices` names it. */
function refuseDevices(error) {
  window.noDevices = error;
  window.opened = [];
  const { mediaDevices } = navigator;
  const original = mediaDevices.getUserMedia.bind(mediaDevices);
  mediaDevices.getUserMedia = async (wanted) => {
    if (window.noDevices) throw new DOMException('made up', window.noDevices);
    const stream = await original(wanted);
    window.opened.push(...stream.getTracks());
    return stream;
  };
}

async function devices(browser) {
  for (const [error, why, words] of [
    ['NotAllowedError', 'no permission', 'needs? permission'], ['NotFoundError', 'no device', 'not found|No camera'],
    ['NotReadableError', 'device taken', 'is using'],
  ]) {
    const page = await openPage(browser, PHONE);
    await page.evaluateOnNewDocument(refuseDevices, error);
    await toPreview(page, names[3]);
    const shown = await until(async () => (await helps(page)).length >= 2, 8000);
    const [title, next] = await helps(page);
    check(`${why}: own words in the preview, with a next step`, shown !== null && new RegExp(words, 'i').test(title ?? '')
      && (next ?? '').length > 20, title);
    await shot(page, `failure-${error}`);
    // One may still come in, and try again inside.
    await page.click('form.wide .stick-foot button:not(.main):not(.flush)');
    const inside = await until(() => isLive(page), 15_000);
    check(`${why}: one can still come in and listen`, inside !== null, seconds(inside));
    await press(page, 'microphone');
    const told = await until(async () => (await deviceFaults(page)).length === 1, 8000);
    check(`${why}: in the room, too`, told !== null, (await deviceFaults(page)).join());
    await page.evaluate(() => { window.noDevices = null; });
    await page.click('[data-testid="device-fault"] button:not(.square)');
    const works = await until(() => pressed(page, 'microphone'), 8000);
    check(`${why}: "try again" works once it can`, works !== null, seconds(works));
    await page.browserContext().close();
  }
}

async function unplugged(browser) {
  const page = await openPage(browser, DESK);
  await page.evaluateOnNewDocument(refuseDevices, null);
  await openLink(page, links.guest, names[3]);
  await enter(page);
  await until(() => isLive(page), 15_000);
  await until(() => pressed(page, 'microphone'), 5000);
  await page.evaluate(() => {
    window.noDevices = 'NotFoundError';
    for (const track of window.opened.filter((one) => one.kind === 'audio' && one.readyState === 'live')) {
      track.dispatchEvent(new Event('ended'));
    }
  });
  const told = await until(async () => (await deviceFaults(page)).join() === 'microphone unplugged', 8000);
  check('unplugged in the call: said as that, not as a host\'s doing', told !== null, (await deviceFaults(page)).join());
  check('and the tool does not claim to be on', !(await pressed(page, 'microphone')));
  await page.browserContext().close();
}

async function noMedia(browser) {
  const page = await openPage(browser, DESK);
  // As behind a firewall that lets the page and its socket through and nothing else.
  await page.evaluateOnNewDocument(() => {
    const Native = window.RTCPeerConnection;
    window.walled = true;
    window.RTCPeerConnection = class extends Native {
      constructor(configuration, ...rest) {
        super(window.walled ? { ...configuration, iceServers: [], iceTransportPolicy: 'relay' } : configuration, ...rest);
      }
      setConfiguration(configuration) {
        super.setConfiguration(window.walled ? { ...configuration, iceServers: [], iceTransportPolicy: 'relay' } : configuration);
      }
    };
  });
  await openLink(page, links.guest, names[3]);
  await enter(page);
  const told = await until(() => page.$('[data-testid="text-only"]'), 40_000);
  check('media blocked: own sentence, and one stays in the room', told !== null && await line(page) === 'text', seconds(told));
  // Seats give way to the notice; they take a third of a second for it.
  await sleep(600);
  await shot(page, 'failure-blocked');
  const free = await page.evaluate(() => {
    const [bar, alerts] = ['.bar', '.alerts'].map((part) => document.querySelector(part).getBoundingClientRect());
    return [...document.querySelectorAll('.seat')].every((seat) => {
      const [disc, plate] = ['.disc', '.plate'].map((part) => seat.querySelector(part).getBoundingClientRect());
      return disc.top >= alerts.bottom && plate.bottom <= bar.top;
    });
  });
  check('the notice covers nobody, nor does the bar', free);
  check('the microphone is not shown as open', !(await page.$('.tool.live')), '');
  await page.evaluate(() => { window.walled = false; });
  await page.click('[data-testid="text-only"] button');
  const back = await until(() => isLive(page), 20_000);
  check('"try again" leads in once the way is free', back !== null, seconds(back));
  await page.browserContext().close();
}

/** What a link can be besides wrong, each with its own page and a way on. */
async function invitations(browser) {
  const host = await openPage(browser, DESK);
  await openLink(host, links.host, names[0]);
  await enter(host, false);
  await until(() => isLive(host), 15_000);
  const ask = (method, path, body) => host.evaluate(async (how, where, what) => {
    const { token } = JSON.parse(sessionStorage.getItem('enza.session'));
    const { video } = JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')));
    const answer = await fetch(`/api/rooms/${video.room}/invites${where}`, {
      method: how,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(what === null ? {} : { body: JSON.stringify(what) }),
    });
    return answer.status === 204 ? {} : answer.json();
  }, method, path, body);
  const [revoked, expired, used] = [
    await ask('POST', '', { role: 'guest', expiresIn: 3600 }), await ask('POST', '', { role: 'guest', expiresIn: 1 }),
    await ask('POST', '', { role: 'guest', expiresIn: 3600, maxUses: 1 }),
  ];
  await ask('DELETE', `/${revoked.id}`, null);
  const once = await openPage(browser, PHONE);
  await openLink(once, new URL(used.link, base).href, names[3]);
  await once.click('form.wide button.main');
  await until(() => isLive(once), 15_000);
  await sleep(1100);
  for (const [kind, invite] of [['invite-revoked', revoked], ['invite-expired', expired], ['invite-used-up', used]]) {
    const page = await openPage(browser, PHONE);
    await page.goto(new URL(invite.link, base).href, { waitUntil: 'load' });
    const told = await until(async () => await fault(page) === kind, 8000);
    const words = await page.$$eval('.letter h1, .letter p', (all) => all.map((one) => one.textContent));
    check(`${kind}: own words and a way on`, told !== null && words.length >= 2 && await page.$('.letter button.main') !== null,
      `${await fault(page)}: ${words[0]}`);
    await shot(page, `failure-${kind}`);
    await page.browserContext().close();
  }
  check('who is inside stays, whatever becomes of the link', await isLive(once));
  await once.browserContext().close();
  await host.browserContext().close();
}

/** The tab goes to the back: nothing closes, and what fell meanwhile comes back as soon as it is looked at again. */
async function inTheBackground(browser) {
  const page = await openPage(browser, PHONE);
  await page.evaluateOnNewDocument(() => {
    window.behind = false;
    Object.defineProperty(document, 'visibilityState', { get: () => (window.behind ? 'hidden' : 'visible') });
    Object.defineProperty(document, 'hidden', { get: () => window.behind });
    window.look = (away) => {
      window.behind = away;
      document.dispatchEvent(new Event('visibilitychange'));
    };
  });
  await openLink(page, links.guest, names[3]);
  await enter(page);
  await until(() => isLive(page), 15_000);
  await page.evaluate(() => window.look(true));
  await sleep(1500);
  check('in the background the call goes on, and the title says that one can be heard', await isLive(page)
    && await pressed(page, 'microphone') && /on/i.test(await page.title()), await page.title());
  // What a phone does to a page that lies behind for long.
  await page.evaluate(() => window.watched.sockets.forEach((socket) => socket.close()));
  await page.evaluate(() => window.watched.peerConnections.forEach((connection) => connection.close()));
  await until(async () => !(await isLive(page)), 8000);
  await page.evaluate(() => window.look(false));
  const back = await until(() => isLive(page), 15_000);
  check('looked at again, it is back', back !== null && (await until(() => pressed(page, 'microphone'), 5000)) !== null, seconds(back));
  await page.browserContext().close();
}

async function noServer(browser) {
  const page = await openPage(browser, PHONE);
  // The page asks while one looks at one's picture, and again when one enters.
  await page.setRequestInterception(true);
  page.on('request', (request) => (request.url().includes('/api/join') ? request.abort() : request.continue()));
  await openLink(page, links.guest, names[3]);
  await page.click('form.wide button.main');
  const told = await until(async () => await fault(page) === 'unreachable', 20_000);
  check('server gone before one is in: own page, "try again"', told !== null && await page.$('.letter button.main') !== null, seconds(told));
  await page.browserContext().close();
}

async function full(browser) {
  const page = await openPage(browser, PHONE);
  await openLink(page, links.guest, names[3]);
  // The server's answer for a full room: LeaveRequest { reason: JOIN_FAILURE }.
  await page.evaluate(() => {
    const Native = window.WebSocket;
    window.WebSocket = class extends EventTarget {
      binaryType = 'blob';
      readyState = 0;
      static OPEN = 1;
      static CONNECTING = 0;
      static CLOSED = 3;
      constructor(url, ...more) {
        super();
        // The circle's own line stays as it is.
        if (!String(url).includes('/rtc')) return new Native(url, ...more);
        setTimeout(() => {
          this.readyState = 1;
          this.#tell(new Event('open'));
          this.#tell(new MessageEvent('message', { data: new Uint8Array([0x42, 2, 0x10, 7]).buffer }));
        }, 20);
      }
      #tell(event) {
        this.dispatchEvent(event);
        this[`on${event.type}`]?.(event);
      }
      send() {}
      close() {
        if (this.readyState === 3) return;
        this.readyState = 3;
        this.#tell(new CloseEvent('close', { code: 1000 }));
      }
    };
  });
  await page.click('form.wide button.main');
  const told = await until(async () => await fault(page) === 'full', 25_000);
  check('every seat taken: own page', told !== null, `${await fault(page)} ${seconds(told)}`);
  await shot(page, 'failure-full');
  await page.browserContext().close();
}

async function old(kind, browser) {
  const page = await openPage(browser, PHONE);
  await page.evaluateOnNewDocument(() => { delete window.RTCPeerConnection; });
  await page.goto(links.guest, { waitUntil: 'load' });
  const told = await until(async () => await fault(page) === 'old', 8000);
  check(`${kind}: a browser that cannot take part is told which can`, told !== null && /Firefox/.test(await said(page)));
  await page.goto(`${base}/join#nothing-like-it`, { waitUntil: 'load' });
  await page.browserContext().close();
}

async function interrupted(browser) {
  const [one, other] = [await openPage(browser, PHONE), await openPage(browser, DESK)];
  for (const [page, name] of [[one, names[3]], [other, names[4]]]) {
    await openLink(page, links.guest, name);
    await enter(page);
    await until(() => isLive(page), 15_000);
  }
  const voices = () => one.$$eval('[data-part="voices"] audio', (all) => all.map((element) => !element.paused));
  await until(async () => (await voices()).some(Boolean), 10_000);
  await press(one, 'microphone');
  await until(async () => !(await pressed(one, 'microphone')), 3000);
  // What a phone call does to a page.
  await one.$$eval('[data-part="voices"] audio', (all) => all.forEach((element) => element.pause()));
  const sheet = await until(() => one.$('[data-testid="interrupted"][open]'), 3000);
  check('a phone call took the sound: one button over everything', sheet !== null, seconds(sheet));
  await shot(one, 'failure-interrupted');
  await one.click('[data-testid="interrupted"] button');
  const back = await until(async () => (await voices()).every(Boolean) && await one.$('[data-testid="interrupted"]') === null, 4000);
  check('the press brings it back', back !== null, (await voices()).join());
  check('and opens no microphone', !(await pressed(one, 'microphone')));
  const title = await other.title();
  check('another tab sees in the title that one can be heard', /on/i.test(title) && !/on:/i.test(await one.title()), title);

  // --- reconnecting un-mutes nobody ---
  await press(other, 'camera');
  await until(async () => !(await pressed(other, 'camera')), 3000);
  for (const page of [one, other]) {
    await page.evaluate(() => window.watched.peerConnections.forEach((connection) => connection.close()));
    await page.evaluate(() => window.watched.sockets.forEach((socket) => socket.close()));
  }
  await until(async () => await line(one) !== 'live' || await line(other) !== 'live', 5000);
  const again = await until(async () => await isLive(one) && await isLive(other), 25_000);
  check('after a lost line both are back', again !== null, seconds(again));
  await until(() => pressed(other, 'microphone'), 8000);
  check('what was closed is closed, what was open is open', !(await pressed(one, 'microphone')) && await pressed(other, 'microphone')
    && !(await pressed(other, 'camera')) && await pressed(one, 'camera'));
  const [seen] = (await seats(other)).filter((person) => person.name === names[3]);
  check('and the others see it so', seen?.micOff === true, JSON.stringify(seen ?? null).slice(0, 60));
  await one.browserContext().close();
  await other.browserContext().close();
}

async function autoplay(browser) {
  const [one, other] = [await openPage(browser, DESK), await openPage(browser, PHONE)];
  for (const [page, name] of [[one, names[3]], [other, names[4]]]) {
    await openLink(page, links.guest, name);
    // A browser that is being spoken to lets a page sound; somebody who only listens is asked.
    if (page === one) {
      await page.click('form.wide .stick-foot button:not(.main):not(.flush)');
      // A browser that has not been pressed since the page loaded: whether this one counts the press before a reload
      // differs from version to version, so it is told here.
      await page.evaluateOnNewDocument(() => {
        let wasPressed = false;
        addEventListener('click', () => { wasPressed = true; }, true);
        const { play } = HTMLMediaElement.prototype;
        HTMLMediaElement.prototype.play = function () {
          if (wasPressed || this.tagName !== 'AUDIO') return play.call(this);
          this.pause();
          return Promise.reject(new DOMException('play() needs a press', 'NotAllowedError'));
        };
      });
    }
    else await enter(page);
    await until(() => isLive(page), 15_000);
  }
  // A reload comes back by itself, without a press: then the browser keeps the sound back.
  await one.reload({ waitUntil: 'load' });
  const told = await until(async () => /Sound|sound/.test(await one.$eval('[data-testid="line"]', (box) => box.textContent)), 15_000);
  const button = told !== null && await one.$('[data-testid="line"] button.main');
  check('sound kept back by the browser: said, with a button', Boolean(button), seconds(told));
  if (button) {
    await button.click();
    const plays = await until(async () => (await one.$$eval('[data-part="voices"] audio', (all) => all.map((a) => !a.paused))).every(Boolean)
      && await one.$('[data-testid="line"] button.main') === null, 5000);
    check('the button starts it', plays !== null, seconds(plays));
  }
  await one.browserContext().close();
  await other.browserContext().close();
}

async function main() {
  const browser = await launch('chromium', { language: 'en', microphone: voice() });
  await devices(browser);
  await unplugged(browser);
  await noMedia(browser);
  await noServer(browser);
  await invitations(browser);
  await inTheBackground(browser);
  await full(browser);
  await old('Chromium', browser);
  await interrupted(browser);
  await autoplay(browser);
  await browser.close();
  const firefox = await launch('firefox', { language: 'en' });
  await old('Firefox', firefox);
}

await run(main, 240_000);
