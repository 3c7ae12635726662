/**
 * Small signs that people give without a word. Each is shown at its seat for a moment and then gone; nothing of it is
 * kept. Pure. On the wire a reaction is an emoji; the page draws its own pictures of the ones it offers.
 */

export const reactions = [
  { name: 'nod', emoji: '👍' },
  { name: 'clap', emoji: '👏' },
  { name: 'heart', emoji: '❤️' },
  { name: 'smile', emoji: '😊' },
  { name: 'sprout', emoji: '🌱' },
] as const;
export type ReactionName = (typeof reactions)[number]['name'];

/** How long one is shown. Long enough to be seen by somebody who looks elsewhere; short enough not to become a scene. */
export const SHOW_REACTION_MS = 5_000;

/** What somebody gives just now. */
export interface Given {
  readonly participant: string;
  readonly name: ReactionName;
  readonly until: number;
}

/** Null for one that this page has no picture and no word for. */
export function reactionNamed(emoji: string): ReactionName | null {
  // With and without the sign that asks for a coloured picture.
  const plain = (text: string): string => text.replace(/\uFE0F/g, '');
  return reactions.find((one) => plain(one.emoji) === plain(emoji))?.name ?? null;
}

/** The newest of each person. */
export function withReaction(given: readonly Given[], participant: string, emoji: string, at: number): readonly Given[] {
  const name = reactionNamed(emoji);
  if (name === null) return given;
  return [...given.filter((one) => one.participant !== participant), { participant, name, until: at + SHOW_REACTION_MS }];
}

export function stillGiven(given: readonly Given[], at: number): readonly Given[] {
  return given.some((one) => one.until <= at) ? given.filter((one) => one.until > at) : given;
}
