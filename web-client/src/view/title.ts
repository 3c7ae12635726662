/** What the browser's tab says: the room's name once there is one, so that it is found among many tabs. */
import type { Journey } from '../circle/journey';
import type { Words } from '../strings';

export function titleOf(journey: Journey, t: Words): string {
  const page = (name: string): string => (name === '' ? t('app.name') : t('app.title', { page: name }));
  switch (journey.at) {
    case 'landing':
      return t('app.name');
    case 'opening':
      return page(t('join.opening'));
    case 'create':
      return page(t('create.title'));
    case 'made':
      return page(t('invite.title'));
    case 'agreement':
      return page(t('agree.title'));
    case 'waiting':
      return page(t('wait.title'));
    case 'name':
      return page(t('name.title'));
    case 'devices':
      return page(t('dev.title'));
    case 'room':
      // The curtain names no room. Seen from another tab, too: whether one can be heard.
      return journey.room.microphone.at === 'on' && !journey.room.meeting.away
        ? t('title.heard', { page: page(journey.room.room) })
        : page(journey.room.meeting.away ? '' : journey.room.room);
    case 'left':
      return page(t('left.title'));
    case 'fault':
      return page(t(`e.${journey.fault.kind}`));
  }
}
