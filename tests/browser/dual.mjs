#!/usr/bin/env node
// LiveKit's older protocol, with two peer connections, in real browsers: livekit-client told not to use one, beside one
// that does. Needs a running server with an API key; tests/run starts one.
import { randomBytes } from 'node:crypto';
import { servePage, server, token } from './client.mjs';
import { check, DESK, launch, openPage, run, seconds, until } from './kit.mjs';

/** Runs in the page: joins and publishes microphone and camera. */
async function enter(url, jwt, singlePeerConnection) {
  const { Room } = window.LivekitClient;
  // So little that three pictures fit into a path of which nothing is known yet: nobody's is paused.
  const small = { width: 320, height: 180, frameRate: 10 };
  const publishDefaults = { simulcast: false, videoEncoding: { maxBitrate: 50_000, maxFramerate: 10 } };
  const room = new Room({ singlePeerConnection, publishDefaults, videoCaptureDefaults: { resolution: small } });
  const events = [];
  for (const name of ['reconnected', 'signalReconnecting', 'reconnecting', 'disconnected']) {
    room.on(name, () => events.push(name));
  }
  room.on('trackStreamStateChanged', (publication, state, { identity }) => {
    events.push(`${publication.source} of ${identity} ${state}`);
  });
  room.on('trackSubscribed', (track) => document.body.append(track.attach()));
  await room.connect(url, jwt);
  window.kit = {
    room,
    events,
    /** Per other person: packets of sound and decoded pictures so far. */
    async flow() {
      const all = {};
      for (const [identity, person] of room.remoteParticipants) {
        const found = { packets: 0, frames: 0 };
        for (const publication of person.trackPublications.values()) {
          const report = await publication.track?.getRTCStatsReport();
          for (const stats of report?.values() ?? []) {
            if (stats.type !== 'inbound-rtp') continue;
            if (stats.kind === 'audio') found.packets += stats.packetsReceived;
            else found.frames += stats.framesDecoded ?? 0;
          }
        }
        all[identity] = found;
      }
      return all;
    },
    told: () => events,
    connections: () => window.watched.peerConnections.filter((one) => one.connectionState === 'connected').length,
    sockets: () => window.watched.sockets.map((one) => new URL(one.url).pathname),
  };
  await room.localParticipant.setMicrophoneEnabled(true);
  await room.localParticipant.setCameraEnabled(true);
}

const site = await servePage();
const room = `dual-${randomBytes(4).toString('hex')}`;

async function person(browser, name, single) {
  const page = await openPage(browser, DESK);
  await page.goto(site);
  await page.evaluate(enter, server, token(name, room), single);
  return { name, page };
}

const call = ({ page }, method) => page.evaluate((m) => window.kit[m](), method);
const did = ({ page }, event) => page.evaluate((name) => window.kit.events.includes(name), event);

/** Waits until new sound and new pictures of all `others` come to `who`. */
async function hearsAndSees(title, who, others, limit = 20_000) {
  const before = await call(who, 'flow');
  let now = {};
  const grown = (name) => now[name]
    && now[name].packets > (before[name]?.packets ?? 0) + 20 && now[name].frames > (before[name]?.frames ?? 0) + 10;
  const took = await until(async () => {
    now = await call(who, 'flow');
    return others.every(({ name }) => grown(name));
  }, limit);
  check(title, took !== null, `${seconds(took)} ${took === null ? JSON.stringify([now, await call(who, 'told')]) : ''}`);
}

async function main() {
  const chromium = await launch('chromium', { language: 'en' });
  const firefox = await launch('firefox', { language: 'en' });
  const older = await person(chromium, 'older', false);
  const newer = await person(chromium, 'newer', true);
  const fox = await person(firefox, 'fox', false);
  for (const who of [older, fox]) {
    const [connections, sockets] = [await call(who, 'connections'), await call(who, 'sockets')];
    check(`${who.name} came by /rtc`, sockets.every((path) => path === '/rtc'), sockets.join());
    check(`${who.name} has two connections`, connections === 2, String(connections));
  }
  check('newer has one', await call(newer, 'connections') === 1);
  await hearsAndSees('older hears and sees both', older, [newer, fox]);
  await hearsAndSees('newer hears and sees both', newer, [older, fox]);
  await hearsAndSees('fox hears and sees both', fox, [older, newer]);

  await newer.page.evaluate(async () => {
    await window.kit.room.localParticipant.setCameraEnabled(false);
    const track = window.kit.room.localParticipant.getTrackPublication('camera').track;
    await window.kit.room.localParticipant.unpublishTrack(track);
    await window.kit.room.localParticipant.setCameraEnabled(true);
  });
  await hearsAndSees('older sees a camera that was taken away and published anew', older, [newer]);
  await hearsAndSees('so does fox', fox, [newer]);

  for (const who of [older, fox]) {
    await who.page.evaluate(() => window.kit.room.simulateScenario('signal-reconnect'));
    const back = await until(() => did(who, 'reconnected'), 15_000);
    check(`${who.name} resumes`, back !== null && !(await did(who, 'reconnecting')), seconds(back));
    await hearsAndSees(`${who.name} hears and sees on`, who, [newer]);
    await hearsAndSees(`newer hears and sees ${who.name} on`, newer, [who]);
  }

  await older.page.evaluate(() => window.kit.room.disconnect());
  const gone = await until(() => newer.page.evaluate(() => !window.kit.room.remoteParticipants.has('older')), 5000);
  check('newer hears that older left', gone !== null, seconds(gone));
}

await run(main, 180_000);
