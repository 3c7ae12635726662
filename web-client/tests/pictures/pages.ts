/** Made-up journeys for the pictures of all screens but the room. */
import type { Devices, Preview } from '../../src/circle/devices';
import type { Journey, Ticket } from '../../src/circle/journey';

const INVITE = 'Xk3v9QmT2bYw7RfLs0HaDcUe';
const KEY = 'pK4nWz8sVt1LqJx6RyBmCgT3eHu5iOa7DdFf9GkMnZc';

const agreement = {
  version: 1,
  lines: ['ここで聞いたことは、ここに置いて帰ります。', '話したくないことは、話さなくてかまいません。', 'さえぎらず、助言をいそぎません。'],
};

export const guest: Ticket = {
  invite: INVITE,
  room: '木曜の円',
  role: 'guest',
  name: 'こもれび',
  mark: 'moon',
  agreement: null,
  agreed: null,
  lobby: false,
  historyDays: null,
  encryption: false,
  counted: false,
  passphrase: null,
  remembered: false,
  key: KEY,
};

export const devices: Devices = {
  microphones: [{ id: 'm', label: 'Built-in microphone' }],
  cameras: [{ id: 'c', label: 'Built-in camera' }],
  speakers: [{ id: 's', label: 'Built-in speaker' }],
  microphoneId: null,
  cameraId: null,
  speakerId: null,
};

const preview: Preview = {
  microphone: { at: 'on' },
  camera: { at: 'on' },
  enterWithMicrophone: false,
  devices,
  picture: 'picture',
  sound: 'sound',
};

/** The screen of that name; null where it is the room. */
export function pageNamed(name: string | null): Journey | null {
  switch (name) {
    case 'landing':
      return { at: 'landing', notALink: false, makes: true };
    case 'not-a-link':
      return { at: 'landing', notALink: true, makes: true };
    case 'create':
      return { at: 'create', problem: 'missing' };
    case 'made':
      return {
        at: 'made',
        room: {
          name: guest.room,
          hostLink: `https://circle.example.org/join#host-${INVITE}&k=${KEY}`,
          guestLink: `https://circle.example.org/join#${INVITE}&k=${KEY}`,
        },
      };
    case 'agreement':
      return { at: 'agreement', ticket: { ...guest, agreement }, agreement };
    case 'name':
      return { at: 'name', ticket: { ...guest, historyDays: 7, passphrase: '' }, problem: 'passphrase-wrong' };
    case 'devices':
      return { at: 'devices', ticket: guest, preview };
    case 'devices-denied':
      return {
        at: 'devices',
        ticket: guest,
        preview: {
          ...preview,
          microphone: { at: 'fault', why: 'denied' },
          camera: { at: 'fault', why: 'denied' },
          picture: null,
          sound: null,
        },
      };
    case 'waiting':
      return {
        at: 'waiting',
        ticket: guest,
        waiting: { question: '今週、ほっとしたことは？', inside: 4, line: 'あと5分ほどで始めます。' },
      };
    case 'left':
      return { at: 'left', ticket: guest };
    case 'unreachable':
    case 'invite-expired':
    case 'removed':
      return { at: 'fault', fault: { kind: name, detail: null } };
    default:
      return null;
  }
}
