#!/usr/bin/env node
// Trouble that livekit-client asks for itself (`room.simulateScenario`), in Chromium: what the server makes of it, and that
// the room goes on. Needs a server in development mode; tests/run starts one.
import { randomBytes } from 'node:crypto';
import { servePage, server, token } from './client.mjs';
import { check, DESK, launch, openPage, run, seconds, sleep, until } from './kit.mjs';

/** Runs in the page. */
async function enter(url, jwt) {
  const { Room } = window.LivekitClient;
  const small = { width: 320, height: 180, frameRate: 10 };
  const publishDefaults = { simulcast: false, videoEncoding: { maxBitrate: 50_000, maxFramerate: 10 } };
  const room = new Room({ publishDefaults, videoCaptureDefaults: { resolution: small } });
  const events = [];
  for (const name of ['signalReconnecting', 'reconnecting', 'reconnected']) room.on(name, () => events.push(name));
  room.on('disconnected', (reason) => events.push(`disconnected ${reason}`));
  room.on('activeSpeakersChanged', (speakers) => events.push(`speaks ${speakers.map((one) => one.identity).join()}`));
  room.on('trackStreamStateChanged', (publication, state) => events.push(`${publication.source} ${state}`));
  room.on('trackSubscribed', (track) => document.body.append(track.attach()));
  window.kit = {
    room,
    events,
    connect: () => room.connect(url, jwt),
    async sound() {
      let packets = 0;
      for (const person of room.remoteParticipants.values()) {
        const report = await person.getTrackPublication('microphone')?.track?.getRTCStatsReport();
        for (const stats of report?.values() ?? []) if (stats.type === 'inbound-rtp') packets += stats.packetsReceived;
      }
      return packets;
    },
  };
  await room.connect(url, jwt);
  await room.localParticipant.setMicrophoneEnabled(true);
  await room.localParticipant.setCameraEnabled(true);
}

const site = await servePage();
const room = `simulate-${randomBytes(4).toString('hex')}`;

async function person(browser, name) {
  const page = await openPage(browser, DESK);
  await page.goto(site);
  await page.evaluate(enter, server, token(name, room));
  return page;
}

const happened = (page, event) => page.evaluate((name) => window.kit.events.includes(name), event);
const told = (page) => page.evaluate(() => window.kit.events.join(', '));

async function hears(page) {
  let before = null;
  return until(async () => {
    const now = await page.evaluate(() => window.kit.sound());
    if (before === null || now < before) before = now;
    return now > before + 20;
  }, 20_000);
}

/** Asks for trouble; `kind` is how the client finds back, or null when nothing is to be noticed. */
async function trouble(page, other, scenario, kind, argument) {
  await page.evaluate(() => { window.kit.events.length = 0; });
  await page.evaluate((name, arg) => window.kit.room.simulateScenario(name, arg), scenario, argument);
  if (kind) {
    const back = await until(() => happened(page, 'reconnected'), 30_000);
    const way = await happened(page, kind);
    check(`${scenario}: it comes back by ${kind}`, back !== null && way, `${seconds(back)}, ${await told(page)}`);
  }
  const [here, there] = [await hears(page), await hears(other)];
  check(`${scenario}: both hear each other`, here !== null && there !== null, `${seconds(here)}, ${seconds(there)}`);
}

async function main() {
  const browser = await launch('chromium', { language: 'en' });
  const one = await person(browser, 'one');
  const other = await person(browser, 'other');
  check('both hear each other', await hears(one) !== null && await hears(other) !== null);

  await trouble(one, other, 'migration', 'signalReconnecting');
  await trouble(one, other, 'disconnect-signal-on-resume', 'signalReconnecting');
  await trouble(one, other, 'disconnect-signal-on-resume-no-messages', 'signalReconnecting');
  await trouble(one, other, 'node-failure', 'reconnecting');
  await trouble(one, other, 'leave-full-reconnect', 'reconnecting');
  // No TCP here: the server says so, and the client joins anew over UDP.
  await trouble(one, other, 'force-tcp', 'reconnecting');

  // Silent, so that only simulated speech can be seen.
  await one.evaluate(() => window.kit.room.localParticipant.setMicrophoneEnabled(false));
  await sleep(3000);
  await other.evaluate(() => { window.kit.events.length = 0; });
  await one.evaluate(() => window.kit.room.simulateScenario('speaker'));
  const speaks = await until(() => other.evaluate(() => window.kit.events.some((event) => event.startsWith('speaks')
    && event.includes('one'))), 5000);
  check('speaker: the other sees it', speaks !== null, seconds(speaks));
  await one.evaluate(() => window.kit.room.localParticipant.setMicrophoneEnabled(true));

  await trouble(one, other, 'subscriber-bandwidth', null, 1000);
  const paused = await until(() => happened(one, 'camera paused'), 15_000);
  check('subscriber-bandwidth: the picture pauses, sound goes on', paused !== null, seconds(paused));
  await trouble(one, other, 'subscriber-bandwidth', null, 0);
  const active = await until(() => happened(one, 'camera active'), 20_000);
  check('subscriber-bandwidth 0: the picture is back', active !== null, seconds(active));

  await one.evaluate(() => window.kit.room.simulateScenario('server-leave'));
  const left = await until(() => one.evaluate(() => window.kit.events.some((event) => event.startsWith('disconnected'))), 10_000);
  check('server-leave: it is out', left !== null, seconds(left));
  await sleep(500);
  check('server-leave: the other stays', await other.evaluate(() => window.kit.room.state) === 'connected');
}

await run(main, 240_000);
