#!/usr/bin/env node
// One connection for everything: over HTTPS the page, the circle's socket and LiveKit's are streams of one HTTP/2 connection
// (RFC 8441), in Chromium and in Firefox; a browser without HTTP/2 joins as before. Starts its own server, with a
// development certificate.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { check, DESK, launch, openPage, run, seconds, until } from './kit.mjs';
import { enter, isLive, moves, openLink } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), 'enza-http2-'));

const freePort = () => new Promise((found) => {
  const probe = createServer().listen(0, '127.0.0.1', () => {
    const { port } = probe.address();
    probe.close(() => found(port));
  });
});

/** A server of its own on `port`, and its two links. */
async function serve(port) {
  const server = spawn(process.env.ENZA_TEST_BINARY, ['serve', '--lan', '--port', `${port}`, '--data', join(folder, 'data')],
    { env: { ...process.env, LANG: 'en_GB.UTF-8' }, stdio: ['ignore', 'pipe', 'ignore'] });
  let said = '';
  server.stdout.on('data', (text) => { said += text; });
  const links = () => [...new Set(said.match(/\/join#[\w-]+/g) ?? [])];
  if (await until(() => links().length === 2, 15_000) === null) throw new Error('the server printed no links');
  const [host, guest] = links().map((link) => `https://localhost:${port}${link}`);
  return { server, host, guest };
}

/** TCP connections to `port` that stand, as the kernel sees them from the clients' side. */
function connections(port) {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) => readFileSync(file, 'utf8').split('\n'))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , remote, state]) => state === '01' && remote.endsWith(wanted)).length;
}

/** Somebody in the room; `statuses` are what the server answered to each WebSocket (Chromium). */
async function joined(browser, link, name) {
  const page = await openPage(browser, DESK);
  const statuses = new Map();
  if (browser.process().spawnfile.includes('chrom')) {
    const session = await page.createCDPSession();
    await session.send('Network.enable');
    session.on('Network.webSocketCreated', ({ requestId, url }) => statuses.set(requestId, { path: new URL(url).pathname, status: null }));
    session.on('Network.webSocketHandshakeResponseReceived', ({ requestId, response }) => { statuses.get(requestId).status = response.status; });
  }
  await openLink(page, link, name);
  const began = performance.now();
  await enter(page);
  check(`${name}: in the room`, await until(() => isLive(page), 20_000) !== null, seconds(performance.now() - began));
  const protocols = await page.evaluate(() => [...new Set([...performance.getEntriesByType('navigation'),
    ...performance.getEntriesByType('resource')].map((entry) => entry.nextHopProtocol).filter(Boolean))]);
  const sockets = await page.evaluate(() => window.watched.sockets.filter((socket) => socket.readyState === WebSocket.OPEN).length);
  return { page, protocols, sockets, statuses: [...statuses.values()] };
}

async function main() {
  const port = await freePort();
  const { server, host, guest } = await serve(port);
  try {
    const chromium = await launch('chromium', { language: 'en' });
    const one = await joined(chromium, host, names[3]);
    check('Chromium: every file came over HTTP/2', one.protocols.join() === 'h2', one.protocols.join());
    const asked = one.statuses.map(({ path, status }) => `${path.replace(/rooms\/[^/]+/, 'rooms/…')} ${status}`).join(', ');
    check('Chromium: both sockets are HTTP/2 streams (200, not 101)',
      one.sockets === 2 && one.statuses.length === 2 && one.statuses.every(({ status }) => status === 200), asked);
    check('Chromium: page and sockets share one TCP connection', await until(() => connections(port) === 1, 15_000) !== null, `${connections(port)}`);

    const firefox = await launch('firefox', { language: 'en' });
    const two = await joined(firefox, guest, names[4]);
    check('Firefox: every file came over HTTP/2', two.protocols.join() === 'h2', two.protocols.join());
    check('Firefox: page and two sockets share one TCP connection',
      two.sockets === 2 && await until(() => connections(port) === 2, 15_000) !== null, `${connections(port) - 1}`);
    check('they see each other', await until(() => moves(one.page, names[4], 1500), 15_000) !== null
      && await until(() => moves(two.page, names[3], 1500), 15_000) !== null);

    const old = await launch('chromium', { language: 'en', moreArgs: ['--disable-http2'] });
    const three = await joined(old, guest, names[0]);
    check('without HTTP/2: files and sockets come over HTTP/1.1',
      three.protocols.join() === 'http/1.1' && three.statuses.length === 2 && three.statuses.every(({ status }) => status === 101),
      `${three.protocols.join()}, ${three.statuses.map(({ status }) => status).join(' ')}`);

    const began = performance.now();
    server.kill('SIGTERM');
    const code = await new Promise((ended) => { server.once('exit', ended); });
    const took = performance.now() - began;
    check('with HTTP/2 connections open it stops within 5 s', code === 0 && took < 5000, `${seconds(took)}, exit status ${code}`);
  } finally {
    server.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

await run(main, 180_000);
