#!/usr/bin/env node
// LiveKit's own server library (npm livekit-server-sdk, unmodified) drives the server API, with real clients in the room.
//
// Usage: room_service.mjs    with the variables and the folder of the acceptance checks (ENZA_ACCEPTANCE), whose clients it uses.
import { pathToFileURL } from 'node:url';
import { DataPacket_Kind, RoomServiceClient, TrackType, TwirpError } from 'livekit-server-sdk';

const folder = process.env.ENZA_ACCEPTANCE || new URL('../../../shared/acceptance', import.meta.url).pathname;
const kit = await import(pathToFileURL(`${folder}/roomkit.mjs`));
const { check, freshRoom, load, run, seconds, token, until, url } = kit;
process.env.NODE_ENV ??= 'production'; // keeps the SDK's debug log quiet
const rtc = await load('@livekit/rtc-node');

const [KEY, SECRET] = [process.env.LIVEKIT_API_KEY, process.env.LIVEKIT_API_SECRET];
const host = url.replace('ws', 'http');
const service = new RoomServiceClient(host, KEY, SECRET);
const name = freshRoom('sdk');
const people = new Map();
let publishing = true;

async function join(identity) {
  const room = new rtc.Room();
  const person = { room, heard: [], left: false };
  room.on('dataReceived', (data, _from, _kind, topic) => person.heard.push(`${topic}: ${new TextDecoder().decode(data)}`));
  room.on('disconnected', () => { person.left = true; });
  await room.connect(url, token(identity, name), { autoSubscribe: true, dynacast: false });
  people.set(identity, person);
  return person;
}

async function hum(source) {
  for (let at = 0; publishing; at += 480) {
    const wave = Int16Array.from({ length: 480 }, (_, i) => 8000 * Math.sin((2 * Math.PI * 440 * (at + i)) / 48_000));
    await source.captureFrame(new rtc.AudioFrame(wave, 48_000, 1, 480));
  }
}

/** The Twirp code with which a call is refused. */
async function refused(call) {
  try {
    await call;
  } catch (error) {
    return error instanceof TwirpError ? `${error.code} ${error.status}` : String(error);
  }
  return 'ok';
}

/** What the wire says, which the library does not show. */
async function raw(method, body) {
  const { AccessToken } = await import('livekit-server-sdk');
  const grants = new AccessToken(KEY, SECRET, { ttl: '1m' });
  grants.addGrant({ roomList: true, roomCreate: true, roomAdmin: true, room: name });
  const answer = await fetch(`${host}/twirp/livekit.RoomService/${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${await grants.toJwt()}` },
    body: JSON.stringify(body),
  });
  return answer.json();
}

await run(async () => {
  const made = await service.createRoom({ name, metadata: 'first', emptyTimeout: 60, maxParticipants: 5 });
  check('createRoom', made.name === name && made.sid.startsWith('RM_') && made.emptyTimeout === 60, made.sid);
  const wire = await raw('ListRooms', { names: [name] });
  check('the wire has the names of the proto files', wire.rooms?.[0]?.empty_timeout === 60, Object.keys(wire.rooms?.[0] ?? {}).join(' '));
  const [snake, camel] = [await raw('CreateRoom', { name, empty_timeout: 61 }), await raw('CreateRoom', { name, emptyTimeout: 62 })];
  check('requests may have either', snake.empty_timeout === 61 && camel.empty_timeout === 62);
  const rooms = await service.listRooms([name]);
  check('listRooms', rooms.length === 1 && rooms[0].sid === made.sid && rooms[0].maxParticipants === 5);

  const [ann, ben] = [await join('ann'), await join('ben')];
  const source = new rtc.AudioSource(48_000, 1);
  hum(source).catch(() => {});
  const options = new rtc.TrackPublishOptions({ source: rtc.TrackSource.SOURCE_MICROPHONE });
  await ann.room.localParticipant.publishTrack(rtc.LocalAudioTrack.createAudioTrack('tone', source), options);
  const seen = await until(() => ben.room.remoteParticipants.get('ann')?.trackPublications.size === 1, 5000);
  check('two clients meet in it', seen !== null, seconds(seen));
  const listed = await service.listParticipants(name);
  check('listParticipants', listed.map((one) => one.identity).sort().join() === 'ann,ben');
  const one = await service.getParticipant(name, 'ann');
  const track = one.tracks.find((track) => track.name === 'tone');
  check('getParticipant shows the track', track?.type === TrackType.AUDIO, track?.sid);
  const muted = await service.mutePublishedTrack(name, 'ann', track.sid, true);
  const shown = await until(() => [...ben.room.remoteParticipants.get('ann').trackPublications.values()][0].muted, 5000);
  check('mutePublishedTrack', muted.muted && shown !== null, seconds(shown));
  check('nobody opens a microphone', (await refused(service.mutePublishedTrack(name, 'ann', track.sid, false))) === 'failed_precondition 412');
  await service.updateSubscriptions(name, 'ben', [track.sid], false);
  await service.updateSubscriptions(name, 'ben', [track.sid], true);
  check('updateSubscriptions', true);
  await service.sendData(name, new TextEncoder().encode('hello'), DataPacket_Kind.RELIABLE, { topic: 'greeting' });
  const came = await until(() => ben.heard.includes('greeting: hello'), 5000);
  check('sendData', came !== null, seconds(came));
  await service.updateRoomMetadata(name, '{"topic":"tea"}');
  const told = await until(() => ben.room.metadata?.includes('"topic":"tea"'), 5000);
  check('updateRoomMetadata', told !== null, seconds(told));
  const changed = await service.updateParticipant(name, 'ann', { name: 'Anna', attributes: { mySeat: '3' } });
  check('updateParticipant, attributes as they were written', changed.name === 'Anna' && changed.attributes.mySeat === '3');
  const participant = (await raw('GetParticipant', { room: name, identity: 'ann' }));
  check('attributes keep their keys on the wire', participant.attributes?.mySeat === '3' && participant.joined_at !== undefined);
  await service.removeParticipant(name, 'ann');
  const gone = await until(() => ann.left, 5000);
  check('removeParticipant', gone !== null, seconds(gone));
  check('who is not there is not_found', (await refused(service.getParticipant(name, 'ann'))) === 'not_found 404');
  await service.deleteRoom(name);
  const over = await until(() => ben.left, 5000);
  check('deleteRoom', over !== null, seconds(over));
  const stranger = new RoomServiceClient(host, KEY, 'x'.repeat(32));
  check('another secret is unauthenticated', (await refused(stranger.listRooms())) === 'unauthenticated 401');
}, 60_000, async () => {
  publishing = false;
  for (const { room } of people.values()) await room.disconnect();
});
