/** The lines of a seat's menu for those who moderate. Reads state, sends commands, asks before what is grave. */

import type { Send } from '../circle/journey';
import type { Person } from '../circle/person';
import type { RoomState } from '../circle/room';
import { moderates, reaches } from '../circle/table';
import type { Words } from '../strings';
import type { SeatLine } from './seatLines';

export function hostLines(
  person: Person,
  room: RoomState,
  t: Words,
  send: Send,
  askToRemove: (person: Person) => void,
): readonly SeatLine[] {
  const { role, spotlight } = room;
  if (room.meeting.table === null || !moderates(role)) return [];
  const who = person.identity;
  const lines: SeatLine[] = [];
  const shown = spotlight.includes(who);
  if (person.role !== 'listener') {
    lines.push({
      key: 'spotlight',
      icon: 'spotlight',
      words: t(shown ? 'm.unspot' : 'm.spot'),
      run: () => {
        const participants = shown ? spotlight.filter((one) => one !== who) : [...spotlight, who];
        send({ type: 'command', command: { type: 'spotlight', participants } });
      },
    });
  }
  if (person.me || !reaches(role, person.role)) return lines;
  const participants = [who];
  if (person.role !== 'listener' && !person.textOnly) {
    lines.push(
      person.microphone
        ? {
            key: 'mute',
            icon: 'mic-off',
            words: t('m.mute'),
            run: () => {
              send({ type: 'command', command: { type: 'mute', source: 'microphone', participants } });
            },
          }
        : {
            key: 'ask',
            icon: 'mic',
            words: t('m.ask'),
            run: () => {
              send({ type: 'command', command: { type: 'ask-to-unmute', source: 'microphone', participants } });
            },
          },
    );
    if (person.video !== null) {
      lines.push({
        key: 'camera',
        icon: 'cam-off',
        words: t('m.cam'),
        run: () => {
          send({ type: 'command', command: { type: 'mute', source: 'camera', participants } });
        },
      });
    }
    if (person.screen !== null) {
      lines.push({
        key: 'screen',
        icon: 'screen',
        words: t('m.screen'),
        run: () => {
          send({ type: 'command', command: { type: 'mute', source: 'screen', participants } });
        },
      });
    }
  }
  if (person.hand > 0) {
    lines.push({
      key: 'hand',
      icon: 'hand',
      words: t('hand.up'),
      run: () => {
        send({ type: 'command', command: { type: 'lower-hands', participants } });
      },
    });
  }
  lines.push({
    key: 'whisper',
    icon: 'chat',
    words: t('m.write'),
    run: () => {
      send({ type: 'panel', panel: 'text', to: { participant: who } });
    },
  });
  if (person.role === 'speaker' || person.role === 'listener') {
    const next = person.role === 'speaker' ? 'listener' : 'speaker';
    lines.push({
      key: 'seat',
      icon: next === 'listener' ? 'ear' : 'circle-view',
      words: t(next === 'listener' ? 'm.listener' : 'm.speaker'),
      apart: true,
      run: () => {
        send({ type: 'command', command: { type: 'set-role', participant: who, role: next } });
      },
    });
  }
  if (role === 'host') {
    const next = person.host ? 'speaker' : 'host';
    lines.push({
      key: 'host',
      icon: 'people',
      words: t(next === 'host' ? 'm.cohost' : 'm.nohost'),
      run: () => {
        send({ type: 'command', command: { type: 'set-role', participant: who, role: next } });
      },
    });
  }
  lines.push({
    key: 'remove',
    icon: 'leave',
    words: t('m.out'),
    apart: true,
    grave: true,
    run: () => {
      askToRemove(person);
    },
  });
  return lines;
}
