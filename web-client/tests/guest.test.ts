import { describe, expect, it } from 'vitest';
import type { Guest } from '../src/circle/guest';
import { accepted, agreementSign, guestOf, readGuest } from '../src/circle/guest';

const agreement = { version: 3, lines: ['What is said here stays here.'] };
const ticket = { room: 'Thursday', name: 'Fern', mark: 'fern' as const, agreement, agreed: 3 };

describe('what a browser remembers when asked', () => {
  it('knows an accepted agreement again, and no other', () => {
    const guest = guestOf(null, ticket);
    expect(accepted(guest, 'Thursday', agreement)).toBe(true);
    expect(accepted(guest, 'Friday', agreement)).toBe(false);
    expect(accepted(guest, 'Thursday', { ...agreement, version: 4 })).toBe(false);
    expect(accepted(guest, 'Thursday', { ...agreement, lines: ['Something else.'] })).toBe(false);
  });

  it('holds no word of the room', () => {
    expect(JSON.stringify(guestOf(null, ticket))).not.toMatch(/Thursday|said here/);
    expect(agreementSign('Thursday', agreement)).toMatch(/^[0-9a-f]{16}$/);
  });

  it('adds nothing for an agreement that was not accepted, and stays small', () => {
    expect(guestOf(null, { ...ticket, agreed: null }).agreements).toEqual([]);
    let guest: Guest | null = null;
    for (let version = 1; version <= 40; version += 1) {
      guest = guestOf(guest, { ...ticket, agreement: { ...agreement, version }, agreed: version });
    }
    expect(guest?.agreements.length).toBe(12);
    expect(guest !== null && accepted(guest, 'Thursday', { ...agreement, version: 40 })).toBe(true);
  });

  it('reads itself back, and nothing that is not its own', () => {
    const guest = guestOf(null, ticket);
    expect(readGuest(JSON.stringify(guest))).toEqual(guest);
    for (const text of [null, '', '{', '[]', '{"name":1}', JSON.stringify({ ...guest, mark: 'dragon' })]) expect(readGuest(text)).toBeNull();
  });
});
