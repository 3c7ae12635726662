import { describe, expect, it } from 'vitest';
import { join, openInvite, readAdmission, readInvitation } from '../src/protocol/http';

const answering = (status: number, body: string): { send: typeof fetch; asked: { path: string; body: string }[] } => {
  const asked: { path: string; body: string }[] = [];
  const send: typeof fetch = (input, init) => {
    asked.push({ path: input as string, body: init?.body as string });
    return Promise.resolve(new Response(body, { status }));
  };
  return { send, asked };
};

describe('the invite', () => {
  it('is asked for in the body, never in the address', async () => {
    const { send, asked } = answering(200, '{"room":{"name":"木曜の円"},"role":"host"}');
    const plain = { room: '木曜の円', role: 'host', agreement: null, lobby: false, passphrase: false, historyDays: null, encryption: null, counted: true };
    expect(await openInvite('s3cret', send)).toEqual({ kind: 'ok', value: plain });
    expect(asked).toEqual([{ path: '/api/invite', body: '{"invite":"s3cret"}' }]);
  });

  it('says what is promised, and whether somebody opens the door', () => {
    const promised = { version: 3, lines: ['Be kind.'] };
    const body = { room: { name: 'R' }, role: 'guest', agreement: promised, lobby: true, passphrase: true, historyDays: 30, encryption: true, counted: false };
    expect(readInvitation(body)).toEqual({ ...body, room: 'R' });
    // No lines, no promise; and an agreement that cannot be read is the circle's to show.
    for (const agreement of [{ version: 3, lines: [] }, 'x', null]) {
      expect(readInvitation({ ...body, agreement })?.agreement).toBeNull();
    }
  });

  it('refused carries the code the page has words for', async () => {
    const { send } = answering(410, '{"code":"invite-revoked","message":"This link was revoked."}');
    expect(await openInvite('x', send)).toEqual({
      kind: 'refused',
      code: 'invite-revoked',
      message: 'This link was revoked.',
    });
  });

  it('is unreachable behind a proxy’s page, a server fault, an unknown code or no line', async () => {
    for (const [status, body] of [
      [200, '<html>Welcome to the hospital network</html>'],
      [200, '{"room":"x","role":"guest"}'],
      [200, '{"room":{"name":"x"},"role":"king"}'],
      [404, '<html>nginx</html>'],
      [418, '{"code":"teapot","message":""}'],
      [503, '{"code":"invite-unknown","message":""}'],
    ] as const) {
      expect((await openInvite('x', answering(status, body).send)).kind).toBe('unreachable');
    }
    const broken: typeof fetch = () => Promise.reject(new TypeError('no line'));
    expect(await openInvite('x', broken)).toEqual({ kind: 'unreachable', detail: '/api/invite: TypeError' });
  });
});

describe('the admission', () => {
  it('holds everything the call needs', async () => {
    const body = { token: 't', identity: 'guest-1', name: 'はるみ', role: 'guest', room: { name: 'R' } };
    const { send, asked } = answering(200, JSON.stringify(body));
    expect(await join('s3cret', 'はるみ', {}, send)).toEqual({ kind: 'ok', value: { ...body, room: 'R' } });
    expect(asked[0]?.body).toBe('{"invite":"s3cret","name":"はるみ"}');
    await join('s3cret', 'はるみ', { passphrase: 'word', again: 'a.b.c', mark: '0f' }, send);
    expect(asked[1]?.body).toBe('{"invite":"s3cret","name":"はるみ","passphrase":"word","again":"a.b.c","mark":"0f"}');
  });

  it('with a field missing is no admission', () => {
    const whole = { token: 't', identity: 'i', name: 'n', role: 'guest', room: { name: 'R' } };
    expect(readAdmission(whole)).not.toBeNull();
    for (const field of Object.keys(whole)) expect(readAdmission({ ...whole, [field]: undefined }), field).toBeNull();
    for (const value of [null, 1, 'x', []]) expect(readInvitation(value)).toBeNull();
  });
});
