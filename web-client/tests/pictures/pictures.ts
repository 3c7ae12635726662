/**
 * The room screen with made-up state, for looking at it without a server: `npm run dev`, then
 * /tests/pictures/?people=7&line=live&microphone=on&speaking=2&resting=3. Not part of the build.
 */

import { mount } from 'svelte';
import { writable } from 'svelte/store';
import type { Journey, Send } from '../../src/circle/journey';
import type { Present } from '../../src/circle/person';
import { marks } from '../../src/circle/person';
import type { Line, OwnDevice, RoomEvent } from '../../src/circle/room';
import { enterRoom, reduceRoom } from '../../src/circle/room';
import { firstSettings } from '../../src/circle/settings';
import { begin, speak } from '../../src/strings';
import App from '../../src/view/App.svelte';
import type { Stage } from '../../src/view/stage';
import '../../src/view/style/index.css';
import { meetingEvents } from './meeting';

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
};
const now = number('lost-for', 5_000);
const events: RoomEvent[] = [
  { type: 'people', people },
  { type: 'device', kind: 'microphone', device: own('microphone') },
  { type: 'device', kind: 'camera', device: own('camera') },
  ...meetingEvents(people, wanted, now),
  { type: 'screen', screen: { at: wanted.has('sharing') ? 'on' : 'off' } },
  { type: 'sound', blocked: wanted.has('sound-blocked') },
  ...(wanted.has('muted') ? [{ type: 'closed-by-host', kind: 'microphone' } as const] : []),
];
let room = events.reduce(
  reduceRoom,
  enterRoom({ room: wanted.get('room') ?? '木曜の円', role: 'guest', name: 'こもれび', mark: 'moon' }, 0),
);
room = { ...room, line: lines[wanted.get('line') ?? 'live'] ?? { at: 'live' }, backUntil: wanted.has('back') ? now + 1 : null };
if (speaking >= 0) room = reduceRoom(room, { type: 'voices', identities: [`seat-${speaking}`], at: now - 1_000 });
room = reduceRoom(room, { type: 'tick', at: now });
if (wanted.get('view') === 'stage') room = reduceRoom(room, { type: 'view', view: 'stage' });

const ticket = { invite: '', room: room.room, role: 'guest', name: 'こもれび', mark: 'moon', agreement: null, agreed: null, lobby: false, historyDays: null, encryption: null, counted: false, passphrase: null, remembered: false, key: null } as const;
const stage: Stage = {
  desk: () => null,
  preview: () => () => undefined,
  canShareScreen: true,
  invites: () => null,
  picture: (identity, source, element) => {
    const canvas = document.createElement('canvas');
    canvas.width = 640;
    canvas.height = 360;
    const pen = canvas.getContext('2d');
    const hue = (Number(identity.slice(5)) * 67) % 360;
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
  },
  level: (report) => {
    report(0.58);
    return () => undefined;
  },
};
const journey = writable<Journey>({ at: 'room', ticket, room });
const settings = writable({
  ...firstSettings,
  ...(wanted.get('theme') === 'dark' ? { theme: 'dark' as const } : {}),
  ...(wanted.get('size') === 'largest' ? { size: 'largest' as const } : {}),
});
const send: Send = (intent) => {
  if (intent.type === 'set') settings.update((before) => ({ ...before, ...intent.change }));
  if (intent.type !== 'view' && intent.type !== 'pin' && intent.type !== 'volume') return;
  room = reduceRoom(room, intent);
  journey.set({ at: 'room', ticket, room });
};
async function draw(): Promise<void> {
  await (wanted.has('lang') ? speak(wanted.get('lang') === 'en' ? 'en' : 'ja') : begin());
  const root = document.getElementById('app');
  if (root !== null) mount(App, { target: root, props: { journey, settings, send, stage } });
}
void draw();
