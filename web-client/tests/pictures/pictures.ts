/**
 * Any screen with made-up state, for looking at it without a server: `npm run dev`, then
 * /tests/pictures/?people=7&line=live&microphone=on&speaking=2&resting=3 for the room, ?screen=landing for another
 * (`pages.ts`). Not part of the build. tests/browser/pictures.mjs keeps pictures of it.
 */

import { mount } from 'svelte';
import { writable } from 'svelte/store';
import type { Journey, Send } from '../../src/circle/journey';
import type { Present } from '../../src/circle/person';
import { marks } from '../../src/circle/person';
import type { Line, OwnDevice, RoomEvent } from '../../src/circle/room';
import { enterRoom, reduceRoom } from '../../src/circle/room';
import { firstSettings } from '../../src/circle/settings';
import { begin, speak, speakAlso } from '../../src/strings';
import { operatorPart } from '../../src/strings/operator';
import App from '../../src/view/App.svelte';
import type { Stage } from '../../src/view/stage';
import '../../src/view/style/index.css';
import { desk, invites } from './desks';
import { meetingEvents } from './meeting';
import { devices, guest, pageNamed } from './pages';
import { operatorPage } from './server';

const wanted = new URLSearchParams(location.search);
const number = (name: string, otherwise: number): number => Number(wanted.get(name) ?? otherwise);
const count = number('people', 7);
const speaking = number('speaking', -1);
const gone = number('gone', -1);
const resting = number('resting', -1);
const names = ['こもれび', 'はるみ', 'みかづき', '田中', 'いちょう', 'ゆきこ', 'ささのは', 'さとう（看護師）', 'けん', 'つばめ', 'Alexandra Montgomery-Fitzgerald', 'やまなみ'];

const people: Present[] = Array.from({ length: count }, (_, seat) => ({
  identity: `seat-${seat}`,
  name: names[seat % names.length] ?? '',
  me: seat === 0,
  host: seat === 1,
  mark: marks[(seat * 5) % marks.length] ?? 'moon',
  joinedAt: seat,
  microphone: seat === 0 ? wanted.get('microphone') === 'on' : seat % 3 === 2,
  video: seat % 2 === 1 ? `video-${seat}` : null,
  gone: seat === gone,
  resting: seat === resting,
  screen: seat === number('screen', -1) ? `screen-${seat}` : null,
  weak: seat === number('weak', -1),
  unopened: seat === number('unopened', -1),
}));

const own = (name: string): OwnDevice => {
  const at = wanted.get(name) ?? 'off';
  if (at === 'on' || at === 'off' || at === 'opening') return { at };
  return { at: 'fault', why: at === 'denied' || at === 'none' || at === 'busy' ? at : 'failed' };
};
const lines: Readonly<Record<string, Line>> = {
  connecting: { at: 'connecting' },
  live: { at: 'live' },
  resuming: { at: 'resuming', since: 0 },
  lost: { at: 'rejoining', since: 0 },
  blocked: { at: 'text', why: 'blocked' },
  unreachable: { at: 'text', why: 'unreachable' },
  'no-key': { at: 'text', why: 'no-key' },
};
const now = number('lost-for', 5_000);
const events: RoomEvent[] = [
  { type: 'people', people },
  { type: 'device', kind: 'microphone', device: own('microphone') },
  { type: 'device', kind: 'camera', device: own('camera') },
  { type: 'devices', devices },
  ...meetingEvents(people, wanted, now),
  { type: 'screen', screen: { at: wanted.has('sharing') ? 'on' : 'off' } },
  { type: 'sound', blocked: wanted.has('sound-blocked') },
  ...(wanted.has('muted') ? [{ type: 'closed-by-host', kind: 'microphone', at: now } as const] : []),
];
let room = events.reduce(
  reduceRoom,
  enterRoom({ ...guest, room: wanted.get('room') ?? guest.room }, 0),
);
room = { ...room, sealed: wanted.has('sealed'), interrupted: wanted.has('interrupted'), line: lines[wanted.get('line') ?? 'live'] ?? { at: 'live' }, backUntil: wanted.has('back') ? now + 1 : null };
if (speaking >= 0) room = reduceRoom(room, { type: 'voices', identities: [`seat-${speaking}`], at: now - 1_000 });
room = reduceRoom(room, { type: 'tick', at: now });
if (wanted.get('view') === 'stage') room = reduceRoom(room, { type: 'view', view: 'stage' });

/** Somebody before a wall of their own colour. */
function portrait(element: HTMLVideoElement, hue: number, source: 'camera' | 'screen'): () => void {
  const canvas = document.createElement('canvas');
  canvas.width = 640;
  canvas.height = 360;
  const pen = canvas.getContext('2d');
  const draw = (): void => {
    if (pen === null) return;
    pen.fillStyle = `hsl(${hue} 30% 70%)`;
    pen.fillRect(0, 0, 640, 360);
    if (source === 'screen') {
      pen.fillStyle = '#fff';
      pen.fillRect(40, 30, 560, 300);
      return;
    }
    pen.fillStyle = `hsl(${hue} 25% 35%)`;
    pen.beginPath();
    pen.arc(320, 150, 90, 0, 7);
    pen.ellipse(320, 370, 150, 130, 0, 0, 7);
    pen.fill();
  };
  draw();
  const timer = setInterval(draw, 200);
  element.muted = true;
  element.srcObject = canvas.captureStream(5);
  void element.play();
  return () => {
    clearInterval(timer);
  };
}

const stage: Stage = {
  desk: () => desk,
  preview: (element) => portrait(element, 30, 'camera'),
  canShareScreen: true,
  sitsElsewhere: () => Promise.resolve(wanted.has('elsewhere')),
  invites: () => invites,
  ownLink: () => null,
  picture: (identity, source, element) => portrait(element, (Number(identity.slice(5)) * 67) % 360, source),
  level: (report) => {
    report(0.58);
    return () => undefined;
  },
};
const journey = writable<Journey>(pageNamed(wanted.get('screen')) ?? { at: 'room', ticket: guest, room });
const settings = writable({
  ...firstSettings,
  ...(wanted.get('theme') === 'dark' ? { theme: 'dark' as const } : {}),
  ...(wanted.get('size') === 'largest' ? { size: 'largest' as const } : {}),
});
const send: Send = (intent) => {
  if (intent.type === 'set') settings.update((before) => ({ ...before, ...intent.change }));
  if (intent.type !== 'view' && intent.type !== 'pin' && intent.type !== 'volume') return;
  room = reduceRoom(room, intent);
  journey.set({ at: 'room', ticket: guest, room });
};
async function draw(): Promise<void> {
  speakAlso(operatorPart);
  await (wanted.has('lang') ? speak(wanted.get('lang') === 'en' ? 'en' : 'ja') : begin());
  const root = document.getElementById('app');
  if (root === null) return;
  if (wanted.get('screen')?.startsWith('operator') === true) await operatorPage(root, wanted.get('screen') === 'operator');
  else mount(App, { target: root, props: { journey, settings, send, stage } });
}
void draw();
