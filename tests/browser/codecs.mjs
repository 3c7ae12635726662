#!/usr/bin/env node
// Video codecs with livekit-client in Chromium: what is published in one codec is decoded by those who have it, and by
// those who do not through the backup codec. Needs a running server with an API key; tests/run starts one.
import { randomBytes } from 'node:crypto';
import { servePage, server, token } from './client.mjs';
import { check, closeBrowsers, DESK, launch, openPage, run, seconds, sleep, until } from './kit.mjs';

/** Runs in the page: a browser that can decode these codecs and no others. */
function limitDecoders(codecs) {
  const add = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function addTransceiver(track, init) {
    const transceiver = add.call(this, track, init);
    if (track === 'video' && init?.direction === 'recvonly') {
      const known = RTCRtpReceiver.getCapabilities('video').codecs;
      transceiver.setCodecPreferences(known.filter((codec) => codecs.includes(codec.mimeType.toLowerCase())));
    }
    return transceiver;
  };
}

/** Runs in the page: joins as one participant and keeps what the checks ask for. */
async function enter(url, jwt) {
  const { Room } = window.LivekitClient;
  const room = new Room({ dynacast: true });
  const refused = [];
  room.on('trackSubscriptionFailed', (sid, who, reason) => refused.push({ sid, reason }));
  room.on('trackSubscribed', (track) => document.body.append(track.attach()));
  await room.connect(url, jwt);
  window.kit = {
    room,
    refused,
    publish: (options, resolution) => room.localParticipant.setCameraEnabled(true, { resolution }, options).then(() => {}),
    async received(identity) {
      const publication = room.remoteParticipants.get(identity)?.getTrackPublication('camera');
      const report = await publication?.track?.getRTCStatsReport();
      const stats = [...(report?.values() ?? [])].find((entry) => entry.type === 'inbound-rtp');
      return stats && {
        codec: report.get(stats.codecId)?.mimeType ?? '', frames: stats.framesDecoded, width: stats.frameWidth ?? 0,
        freezes: stats.totalFreezesDuration ?? 0, plis: stats.pliCount,
      };
    },
    async sent() {
      const track = room.localParticipant.getTrackPublication('camera').track;
      const senders = [track.sender, ...[...track.simulcastCodecs.values()].map((one) => one.sender)];
      const reports = await Promise.all(senders.filter(Boolean).map((sender) => sender.getStats()));
      return reports.flatMap((report) => [...report.values()].filter((s) => s.type === 'outbound-rtp').map((s) => ({
        codec: report.get(s.codecId)?.mimeType ?? '', rid: s.rid, frames: s.framesEncoded, mode: s.scalabilityMode,
      })));
    },
  };
}

const site = await servePage();

async function person(name, room, codecs) {
  const browser = await launch('chromium', { language: 'en' });
  const page = await openPage(browser, DESK);
  if (codecs) await page.evaluateOnNewDocument(limitDecoders, codecs);
  await page.goto(site);
  await page.evaluate(enter, server, token(name, room));
  return page;
}

const call = (page, method, ...args) => page.evaluate((m, a) => window.kit[m](...a), method, args);
const received = (page, from) => call(page, 'received', from);

/** Waits for pictures in a codec, and that they go on. */
async function decodes(name, page, from, codec) {
  const came = await until(async () => (await received(page, from))?.frames > 5, 15_000);
  const first = await received(page, from);
  const more = await until(async () => (await received(page, from)).frames - first.frames >= 5, 10_000);
  const codecNow = (await received(page, from))?.codec;
  check(`${name} decodes ${codec}`, came !== null && more !== null && codecNow === codec,
    `after ${seconds(came)}, ${codecNow || 'nothing'}, five more frames in ${seconds(more)}`);
}

/** A publisher in H.264 with VP8 as its backup: sent only once somebody has no H.264. */
async function backup() {
  const room = `codecs-${randomBytes(4).toString('hex')}`;
  const options = { videoCodec: 'h264', simulcast: true, backupCodec: { codec: 'vp8' } };
  const publisher = await person('publisher', room);
  await call(publisher, 'publish', options, { width: 640, height: 360, frameRate: 15 });
  const full = await person('full', room);
  await decodes('one who has both', full, 'publisher', 'video/H264');
  const before = (await call(publisher, 'sent')).filter((stream) => stream.codec === 'video/VP8' && stream.frames > 0);
  check('VP8 is not sent while nobody needs it', before.length === 0, `${before.length} streams`);
  const limited = await person('limited', room, ['video/vp8', 'video/rtx']);
  await decodes('one without H.264', limited, 'publisher', 'video/VP8');
  await decodes('one who has both goes on, and', full, 'publisher', 'video/H264');
  const neither = await person('neither', room, ['video/av1', 'video/rtx']);
  const told = await until(() => neither.evaluate(() => window.kit.refused.length > 0), 20_000);
  check('one who has neither is told so', told !== null, seconds(told));
}

const scalable = { scalabilityMode: 'L3T3_KEY' };
const simulcast = { simulcast: true };

/**
 * Three layers, in one stream or in three: each viewer gets its own, and changes without a frozen picture.
 * `widths`: the widest of the two lower layers.
 */
async function layers(videoCodec, mime, how, widths) {
  const room = `codecs-${randomBytes(4).toString('hex')}`;
  // The smallest that is sent in three layers, and never made smaller by a busy machine: the size tells the layer.
  const options = { videoCodec, ...how, backupCodec: false, degradationPreference: 'maintain-resolution' };
  const publisher = await person('publisher', room);
  await call(publisher, 'publish', options, { width: 960, height: 540, frameRate: 15 });
  const viewers = [await person('one', room), await person('two', room)];
  for (const [at, viewer] of viewers.entries()) await decodes(`viewer ${at + 1}`, viewer, 'publisher', mime);
  const [one, two] = viewers;
  const width = async (viewer) => (await received(viewer, 'publisher'))?.width ?? 0;
  const full = await until(async () => (await width(one)) >= 960, 30_000);
  check(`${mime}: the whole picture arrives`, full !== null, `${await width(one)} px, ${seconds(full)}`);
  const sent = (await call(publisher, 'sent')).filter((stream) => stream.frames > 0);
  const asAsked = how === scalable ? sent.length === 1 && sent[0].mode === 'L3T3_KEY' : sent.length === 3;
  check(`${mime} is sent in ${how === scalable ? 'one stream' : 'three streams'}`, asAsked, JSON.stringify(sent));
  const [low, medium] = widths;
  const sizes = { LOW: [1, low], MEDIUM: [low + 1, medium], HIGH: [960, 960] };
  for (const name of ['LOW', 'MEDIUM', 'HIGH', 'LOW', 'HIGH']) {
    const [least, most] = sizes[name];
    const before = await received(one, 'publisher');
    await one.evaluate((quality) => window.kit.room.remoteParticipants.get('publisher')
      .getTrackPublication('camera').setVideoQuality(window.LivekitClient.VideoQuality[quality]), name);
    const took = await until(async () => (await width(one)) >= least && (await width(one)) <= most, 10_000);
    await sleep(1500);
    const then = await received(one, 'publisher');
    check(`${mime}: ${name} brings its size`, took !== null && then.frames - before.frames >= 5,
      `${then.width} px, ${seconds(took)}, ${then.frames - before.frames} frames, ${(then.freezes - before.freezes).toFixed(2)} s frozen`);
  }
  check(`${mime}: the other viewer keeps the whole picture`, (await width(two)) >= 960, `${await width(two)} px`);
}

const stages = {
  backup,
  vp8: () => layers('vp8', 'video/VP8', simulcast, [320, 640]),
  h264: () => layers('h264', 'video/H264', simulcast, [320, 640]),
  vp9: () => layers('vp9', 'video/VP9', scalable, [240, 480]),
  av1: () => layers('av1', 'video/AV1', scalable, [240, 480]),
};
const chosen = process.argv.slice(2).filter((name) => stages[name]);

await run(async () => {
  for (const name of chosen.length ? chosen : Object.keys(stages)) {
    await stages[name]();
    await closeBrowsers();
  }
}, 300_000);
