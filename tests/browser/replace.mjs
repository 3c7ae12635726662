#!/usr/bin/env node
// An upgrade under a live call: the program is asked to stop (SIGTERM) and another one takes its place. Everybody is back by
// themselves, in the same seats, with sound and picture, and the gap is printed. Starts servers of its own.
//
//   replace.mjs BINARY
import { spawn } from 'node:child_process';
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { voice } from './fake.mjs';
import { check, DESK, launch, openPage, PHONE, run, seconds, shot, sleep, until, watch } from './kit.mjs';
import { enter, isLive, line, moves, openLink, seats } from './room.mjs';

const binary = process.argv[2] ?? process.env.ENZA_TEST_BINARY;
const port = 7898;
const base = `http://localhost:${port}`;
const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), 'enza-replace-'));
const children = [];
/** How long somebody may be without the others. */
const GAP = 5000;

/** A server on the same port and data; resolves once it answers. */
async function serve(log) {
  const out = [];
  const child = spawn(binary, ['serve', '--port', String(port), '--data', join(folder, 'data')], {
    env: { ...process.env, LANG: 'en_GB.UTF-8', RUST_LOG: 'debug' }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  child.stdout.on('data', (text) => out.push(text));
  child.stderr.pipe(createWriteStream(join(process.env.ENZA_TEST_ARTIFACTS ?? folder, log)));
  const ready = await until(async () => (await fetch(`${base}/readyz`)).ok, 20_000, 20);
  if (ready === null) throw new Error('the server does not become ready');
  const links = () => [...new Set(out.join('').match(/\/join#[\w-]+(?=\s)/g))].map((link) => base + link);
  await until(() => links().length === 2, 5000);
  return { child, links: links(), ended: new Promise((done) => { child.once('exit', (code) => done(code)); }) };
}

/** Runs in the page: the longest times without a new frame and without a voice, and every state of the line. */
function meter() {
  const now = performance.now();
  const kept = { frame: now, voice: now, frames: 0, energy: 0, noFrame: 0, noVoice: 0, lines: new Set() };
  window.meter = kept;
  const frames = () => [...document.querySelectorAll('li[data-testid="seat"]:not(.me) video')]
    .reduce((sum, video) => sum + (window.watched.frames.get(video) ?? 0), 0);
  const energy = async () => {
    let sum = 0;
    for (const connection of window.watched.peerConnections) {
      if (connection.connectionState !== 'connected') continue;
      for (const entry of (await connection.getStats()).values()) {
        if (entry.type === 'inbound-rtp' && entry.kind === 'audio') sum += entry.totalAudioEnergy ?? 0;
      }
    }
    return sum;
  };
  const look = async () => {
    kept.lines.add(document.querySelector('[data-testid="room"]')?.dataset.line ?? 'none');
    const [drawn, sounded] = [frames(), await energy()];
    const at = performance.now();
    // A new element or connection counts from zero.
    if (drawn !== kept.frames && drawn > 0) kept.frame = at;
    if (sounded !== kept.energy && sounded > 0) kept.voice = at;
    [kept.frames, kept.energy] = [drawn, sounded];
    kept.noFrame = Math.max(kept.noFrame, at - kept.frame);
    kept.noVoice = Math.max(kept.noVoice, at - kept.voice);
    setTimeout(look, 40);
  };
  void look();
}

const metered = (page) => page.evaluate(() => ({ ...window.meter, lines: [...window.meter.lines] }));

async function main() {
  let server = await serve('replace-1.log');
  const [first, second] = [await launch('chromium', { language: 'en', microphone: voice() }),
    await launch('chromium', { language: 'ja', microphone: voice() })];
  const pages = [await openPage(first, DESK), await openPage(second, PHONE)];
  for (const [at, page] of pages.entries()) {
    watch(`replace-${at}`, page);
    await openLink(page, server.links[at], names[at]);
    await enter(page);
    await until(() => isLive(page), 20_000);
  }
  const both = async (ms) => await moves(pages[0], names[1], ms) && await moves(pages[1], names[0], ms);
  check('before: pictures go both ways', await until(() => both(2000), 20_000) !== null);
  const before = await Promise.all(pages.map((page) => seats(page)));
  await Promise.all(pages.map((page) => page.evaluate(meter)));
  await sleep(3000);
  const calm = await Promise.all(pages.map(metered));
  check('before: nobody misses anything', calm.every((one) => one.noFrame < 1500 && one.noVoice < 1500),
    calm.map((one) => `${seconds(one.noFrame)} ${seconds(one.noVoice)}`).join(', '));

  for (const turn of [1, 2]) {
    await Promise.all(pages.map((page) => page.evaluate(() => {
      Object.assign(window.meter, { noFrame: 0, noVoice: 0 });
      window.meter.lines.clear();
    })));
    const began = performance.now();
    server.child.kill('SIGTERM');
    // Nobody gets in any more from the first moment on.
    const refused = await until(async () => {
      const answer = await fetch(`${base}/readyz`).catch(() => null);
      return answer === null || answer.status === 503;
    }, 2000, 5);
    const code = await server.ended;
    const stopped = performance.now() - began;
    server = await serve(`replace-${turn + 1}.log`);
    const started = performance.now() - began - stopped;
    check(`${turn}: it stops well, and is not ready from then on`, code === 0 && refused !== null,
      `exit ${code}, stopped in ${seconds(stopped)}, started in ${seconds(started)}`);
    const live = await until(async () => (await Promise.all(pages.map(isLive))).every(Boolean), 20_000);
    const flows = await until(() => both(1500), 20_000);
    check(`${turn}: everybody is back without touching anything`, live !== null && flows !== null,
      `line ${(await Promise.all(pages.map(line))).join(', ')}`);
    await sleep(2000);
    for (const [at, page] of pages.entries()) {
      const gap = await metered(page);
      check(`${turn}: page ${at + 1} was without the other's picture for at most 5 s`, gap.noFrame <= GAP, seconds(gap.noFrame));
      check(`${turn}: and without the other's voice`, gap.noVoice <= GAP, seconds(gap.noVoice));
      check(`${turn}: and it was told that the line was away`, gap.lines.some((one) => one !== 'live'), gap.lines.join(', '));
    }
    const after = await Promise.all(pages.map((page) => seats(page)));
    const same = after.every((one, at) => JSON.stringify(one.map((seat) => seat.identity))
      === JSON.stringify(before[at].map((seat) => seat.identity)) && one.every((seat) => !seat.gone));
    check(`${turn}: the same seats, nobody twice, nobody away`, same, after.map((one) => one.length).join(', '));
  }
  await shot(pages[1], 'replaced');
  server.child.kill('SIGTERM');
  await server.ended;
}

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});
await run(main, 150_000);
