// A server and browsers near it, and other browsers far away behind one cable: two network namespaces and a veth pair, or
// for a long way two TUN devices and `long_cable.py` between them.
// Linux, root and iproute2; ENZA_TEST_BINARY is the server's program. All traffic stays in the namespaces.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clip } from './fake.mjs';
import { browserPath, DESK, launch, openPage, until } from './kit.mjs';
import { enter, isLive, openLink } from './room.mjs';

const [server, away] = [`enza-${process.pid}-s`, `enza-${process.pid}-a`];
const [cable, farCable] = [`ez${process.pid}s`.slice(0, 15), `ez${process.pid}a`.slice(0, 15)];
const [address, farAddress, port] = ['10.219.77.1', '10.219.77.2', '7880'];
const insecureSite = `http://${address}:${port}`;
const folder = mkdtempSync(join(tmpdir(), 'enza-cable-'));
const ip = (...args) => execFileSync('ip', args, { stdio: 'pipe' });
let daemon;
let carrier;

function tidy() {
  daemon?.kill('SIGKILL');
  carrier?.kill('SIGKILL');
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

function plugIn() {
  for (const [space, link, own] of [[server, cable, address], [away, farCable, farAddress]]) {
    ip('-n', space, 'link', 'set', 'lo', 'up');
    ip('-n', space, 'addr', 'add', `${own}/24`, 'dev', link);
    ip('-n', space, 'link', 'set', link, 'up');
  }
}

export function lay() {
  ip('netns', 'add', server);
  ip('netns', 'add', away);
  ip('link', 'add', cable, 'netns', server, 'type', 'veth', 'peer', 'name', farCable, 'netns', away);
  plugIn();
}

/** A cable on which everything takes its time: `delay` in ms one way, `loss` in percent, `rate` in kbit/s. */
export async function layLong({ delay = 0, loss = 0, rate = 0 }) {
  ip('netns', 'add', server);
  ip('netns', 'add', away);
  const script = new URL('long_cable.py', import.meta.url).pathname;
  carrier = spawn('python3', [script, server, cable, away, farCable,
    '--delay', delay, '--loss', loss, '--rate', rate].map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(carrier.stdout, 'data');
  plugIn();
}

export const pull = () => ip('-n', server, 'link', 'set', cable, 'down');
export const plug = () => ip('-n', server, 'link', 'set', cable, 'up');

/** A firewall at the far end that lets no UDP out. */
export const blockUdp = () => ip('-n', away, 'rule', 'add', 'ipproto', 'udp', 'prohibit');

/** How much goes from the server to the far end: kbit/s, with a queue of at most 200 ms; null: as much as comes. */
export function narrow(rate) {
  const tc = (...args) => execFileSync('tc', ['-n', server, 'qdisc', ...args], { stdio: 'pipe' });
  if (rate === null) tc('del', 'dev', cable, 'root');
  else tc('replace', 'dev', cable, 'root', 'tbf', 'rate', `${rate}kbit`, 'burst', '2kb', 'latency', '200ms');
}

/** A script that starts `program` inside a namespace, for puppeteer to run as if it were the browser. */
function inside(space, program) {
  const script = join(folder, `${space}-${program.split('/').at(-1)}`);
  writeFileSync(script, `#!/bin/sh\nexec ip netns exec ${space} ${program} "$@"\n`);
  chmodSync(script, 0o755);
  return script;
}

/** Starts the server near; resolves to the host's and the guest's link. `https`: with a development certificate. */
export async function serve(https = false) {
  const site = https ? `https://${address}:${port}` : insecureSite;
  const output = join(folder, 'server.out');
  const log = openSync(join(folder, 'server.log'), 'w');
  daemon = spawn('ip', ['netns', 'exec', server, process.env.ENZA_TEST_BINARY, 'serve', https ? '--lan' : '--plain-http', '--bind', address,
    '--port', port, '--data', join(folder, 'data')], {
    stdio: ['ignore', openSync(output, 'w'), log], env: { ...process.env, LANG: 'en_GB.UTF-8', RUST_LOG: 'info' },
  });
  const secrets = () => [...new Set(readFileSync(output, 'utf8').match(/(?<=\/join#)[\w-]+/g) ?? [])];
  await until(() => secrets().length === 2, 30_000);
  const [host, guest] = secrets();
  return { host: `${site}/join#${host}`, guest: `${site}/join#${guest}` };
}

const browserIn = (space, colour) => launch('chromium', {
  language: 'en', camera: clip(colour, true), pipe: true, executablePath: inside(space, browserPath('chromium')),
  // Without HTTPS this one address counts as secure, so camera and microphone work.
  moreArgs: [`--unsafely-treat-insecure-origin-as-secure=${insecureSite}`],
});

/** A browser behind the cable, without a page yet. */
export const farBrowser = (colour) => browserIn(away, colour);

async function person(space, link, name, colour, microphone) {
  const browser = await browserIn(space, colour);
  const page = await openPage(browser, DESK);
  await openLink(page, link, name);
  await enter(page, microphone);
  await until(() => isLive(page), 15_000);
  return { page, name };
}

/** In the room, beside the server or behind the cable: `{ page, name }`; `microphone` says whether it is open. */
export const near = (link, name, colour, microphone = true) => person(server, link, name, colour, microphone);
export const far = (link, name, colour, microphone = true) => person(away, link, name, colour, microphone);
