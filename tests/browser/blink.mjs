#!/usr/bin/env node
// A line that really goes away: the server, one browser and another browser in network namespaces of their own, and the
// cable of the second one pulled for some seconds. Everybody must come back without touching anything.
// Linux, root and iproute2; ENZA_TEST_BINARY is the server's program. All traffic stays in the namespaces.
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clip } from './fake.mjs';
import { browserPath, check, DESK, launch, openPage, run, seconds, shot, sleep, until } from './kit.mjs';
import { enter, isLive, line, moves, openLink, seat, seats } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));
const [server, away] = [`enza-${process.pid}-s`, `enza-${process.pid}-a`];
const [cable, farCable] = [`ez${process.pid}s`.slice(0, 15), `ez${process.pid}a`.slice(0, 15)];
const [address, farAddress, port] = ['10.219.77.1', '10.219.77.2', '7880'];
const site = `http://${address}:${port}`;
const folder = mkdtempSync(join(tmpdir(), 'enza-blink-'));
const ip = (...args) => execFileSync('ip', args, { stdio: 'pipe' });
let daemon;

function tidy() {
  daemon?.kill('SIGKILL');
  for (const name of [server, away]) {
    try {
      ip('netns', 'del', name);
    } catch {
      // It was not made.
    }
  }
  rmSync(folder, { recursive: true, force: true });
}
process.on('exit', tidy);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));

function lay() {
  ip('netns', 'add', server);
  ip('netns', 'add', away);
  ip('link', 'add', cable, 'netns', server, 'type', 'veth', 'peer', 'name', farCable, 'netns', away);
  for (const [space, link, own] of [[server, cable, address], [away, farCable, farAddress]]) {
    ip('-n', space, 'link', 'set', 'lo', 'up');
    ip('-n', space, 'addr', 'add', `${own}/24`, 'dev', link);
    ip('-n', space, 'link', 'set', link, 'up');
  }
}

/** A script that starts `program` inside a namespace, for puppeteer to run as if it were the browser. */
function inside(space, program) {
  const script = join(folder, `${space}-${program.split('/').at(-1)}`);
  writeFileSync(script, `#!/bin/sh\nexec ip netns exec ${space} ${program} "$@"\n`);
  chmodSync(script, 0o755);
  return script;
}

async function serve() {
  const output = join(folder, 'server.out');
  const log = openSync(join(folder, 'server.log'), 'w');
  daemon = spawn('ip', ['netns', 'exec', server, process.env.ENZA_TEST_BINARY, 'serve', '--plain-http', '--bind', address,
    '--port', port, '--data', join(folder, 'data')], {
    stdio: ['ignore', openSync(output, 'w'), log], env: { ...process.env, LANG: 'en_GB.UTF-8', RUST_LOG: 'info' },
  });
  const secrets = () => [...new Set(readFileSync(output, 'utf8').match(/(?<=\/join#)[\w-]+/g) ?? [])];
  await until(() => secrets().length === 2, 10_000);
  const [host, guest] = secrets();
  return { host: `${site}/join#${host}`, guest: `${site}/join#${guest}` };
}

async function person(space, link, name, colour) {
  const browser = await launch('chromium', {
    language: 'en', camera: clip(colour), pipe: true, executablePath: inside(space, browserPath('chromium')),
    // The namespace has no certificate; this one address counts as secure, so camera and microphone work.
    moreArgs: [`--unsafely-treat-insecure-origin-as-secure=${site}`],
  });
  const page = await openPage(browser, DESK);
  await openLink(page, link, name);
  await enter(page);
  await until(() => isLive(page), 15_000);
  return { page, name };
}

async function main() {
  lay();
  const links = await serve();
  const near = await person(server, links.host, names[3], 'green');
  const far = await person(away, links.guest, names[4], 'blue');
  const both = async (ms) => await moves(near.page, far.name, ms) && await moves(far.page, near.name, ms);
  check('before: pictures go both ways', await until(() => both(2000), 15_000) !== null);

  for (const gone of [2, 8, 25]) {
    ip('-n', server, 'link', 'set', cable, 'down');
    await sleep(gone * 1000);
    const told = await line(far.page);
    if (gone === 8) await shot(far.page, 'blink-away');
    const still = (await seats(near.page)).filter((one) => one.name === far.name);
    ip('-n', server, 'link', 'set', cable, 'up');
    const back = await until(() => isLive(far.page), 40_000);
    const flows = await until(() => both(1500), 20_000);
    check(`cable out for ${gone} s: back by itself`, back !== null && flows !== null,
      `line "${told}", live after ${seconds(back)}, pictures after ${seconds(back + flows)}`);
    const seatsNow = (await seats(near.page)).filter((one) => one.name === far.name).length;
    check(`cable out for ${gone} s: one seat, not two`, seatsNow === 1, `${still.length} meanwhile, ${seatsNow} after`);
    const now = await seat(near.page, far.name);
    check(`cable out for ${gone} s: the seat is not shown as away any more`, now && !now.gone);
  }
}

await run(main, 240_000);
