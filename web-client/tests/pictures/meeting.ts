/** A made-up circle for the pictures: hands, texts, somebody before the door, a question in the middle. */
import type { Present } from '../../src/circle/person';
import type { RoomEvent } from '../../src/circle/room';
import type { CircleRole, Said } from '../../src/protocol/circle';

export function meetingEvents(people: readonly Present[], wanted: URLSearchParams, now: number): RoomEvent[] {
  const listed = (name: string): string[] =>
    (wanted.get(name) ?? '')
      .split(',')
      .filter((seat) => seat !== '')
      .map((seat) => `seat-${seat}`);
  const at = (minutes: number): number => Date.UTC(2026, 0, 15, 10, minutes);
  const asHost = wanted.has('host');
  const role = (seat: number): CircleRole => (seat === (asHost ? 0 : 1) ? 'host' : 'speaker');
  const written = [
    [1, '今日の進み方です。ひとり4分くらい、円をひとまわりします。パスもできます。https://example.org/arukikata'],
    [6, '音がすこし小さいです。わたしだけでしょうか。'],
    [0, '設定で大きくできました。ありがとうございます。'],
    [5, 'みかづきさんの話、よくわかります。'],
  ] as const;
  const message: Said<'state'> = {
    type: 'state',
    epoch: 'e',
    revision: 1,
    you: 'seat-0',
    away: wanted.has('away'),
    settings: {
      question: wanted.get('question') ?? '',
      locked: wanted.has('locked'),
      lobby: wanted.has('lobby') ? 'guests' : 'off',
      capacity: 100,
      text: 'everyone',
      history: 'meeting',
      historyDays: 7,
      hands: 'in-order',
      microphones: wanted.has('held') ? 'held' : 'free',
      screens: 'everyone',
      handOver: { rule: 'nobody' },
      moderationShown: true,
      countShown: true,
      encryption: false,
      agreement: { version: 0, lines: [] },
    },
    participants: people.map(({ identity, name, joinedAt }, seat) => ({
      participant: identity,
      name,
      role: role(seat),
      joinedAt,
      connected: true,
      media: true,
      held: wanted.has('held') && role(seat) === 'speaker' ? ['microphone'] : [],
    })),
    seats: people.map(({ identity }) => identity),
    hands: listed('hands').map((participant) => ({ participant, raisedAt: now })),
    spotlight: listed('spotlight'),
    texts: wanted.has('texts')
      ? written.map(([seat, body], index) => ({
          text: index + 1,
          from: `seat-${seat}`,
          name: people[seat]?.name ?? 'つばき',
          to: 'everyone',
          body,
          at: at(2 + index * 4),
        }))
      : [],
    ...(asHost
      ? {
          lobby: wanted.has('lobby')
            ? [
                { participant: 'knock-1', name: 'つばき', since: Date.now() },
                { participant: 'knock-2', name: 'さくら父', since: Date.now() - 190_000 },
              ]
            : [],
        }
      : {}),
  };
  const panel = wanted.get('panel');
  return [
    { type: 'circle', message, at: now },
    ...(wanted.has('asked')
      ? [{ type: 'circle', message: { type: 'asked-to-unmute', revision: 2, source: 'microphone' }, at: now } as const]
      : []),
    ...(wanted.has('held-pressed') ? [{ type: 'held-pressed', kind: 'microphone' } as const] : []),
    ...(panel === 'text' || panel === 'people' ? [{ type: 'panel', panel } as const] : []),
  ];
}
