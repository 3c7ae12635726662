// An empty page with livekit-client in it, and room tokens: for tests of the server with a real client but without
// Enza's page.
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

export const server = process.env.LIVEKIT_URL || 'ws://127.0.0.1:7880';
const key = process.env.LIVEKIT_API_KEY || 'devkey';
const secret = process.env.LIVEKIT_API_SECRET;
const client = new URL('../../web-client/node_modules/livekit-client/dist/livekit-client.umd.js', import.meta.url);

export function token(identity, room) {
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { iss: key, sub: identity, nbf: now - 5, exp: now + 600, video: { room, roomJoin: true } };
  const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
}

/** Serves the page on loopback; resolves to its address. */
export async function servePage() {
  const http = createServer((request, response) => {
    const script = request.url === '/livekit-client.js';
    response.setHeader('Content-Type', script ? 'text/javascript' : 'text/html');
    response.end(script ? readFileSync(client) : '<!doctype html><title>client</title><script src="/livekit-client.js"></script>');
  });
  await new Promise((ready) => http.listen(0, '127.0.0.1', ready));
  http.unref();
  return `http://127.0.0.1:${http.address().port}/`;
}
