// A server and browsers near it, and other browsers far away behind one cable: two network namespaces and a veth pair, or
// for a long way two TUN devices and `long_cable.py` between them.
// Linux, root and iproute2; ENZA_TEST_BINARY is the server's program. All traffic stays in the namespaces.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clip } from './fake.mjs';
import { browserPath, DESK, launch, openPage, until } from './kit.mjs';
import { enter, isLive, openLink } from './room.mjs';

const [server, away] = [`enza-${process.pid}-s`, `enza-${process.pid}-a`];
const [cable, farCable] = [`ez${process.pid}s`.slice(0, 15), `ez${process.pid}a`.slice(0, 15)];
const [address, farAddress] = ['10.219.77.1', '10.219.77.2'];
// Chromium takes no candidate with port 443 at a private address, so behind a wall the server has one of those for documents.
const [publicAddress, outsideAddress, insideAddress] = ['203.0.113.1', '203.0.113.2', '192.168.219.2'];
const insecureSite = `http://${address}:7880`;
let site = insecureSite;
const folder = mkdtempSync(join(tmpdir(), 'enza-cable-'));
const ip = (...args) => execFileSync('ip', args, { stdio: 'pipe' });
let daemon;
let carrier;
const others = [];
let home;

function tidy() {
  daemon?.kill('SIGKILL');
  carrier?.kill('SIGKILL');
  for (const other of others) other.kill('SIGKILL');
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

function plugIn(here = address, there = farAddress) {
  for (const [space, link, own] of [[server, cable, here], [away, farCable, there]]) {
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

/** A router with a strict NAT, and a wall that can be changed: see `middlebox.py`. */
export async function layBehindWall() {
  await layMiddlebox(away, farCable, server, cable, '--address', outsideAddress);
  plugIn(publicAddress, insideAddress);
  ip('-n', away, 'route', 'add', 'default', 'dev', farCable);
}

/** The server with a private address, as many rented ones have, and the NAT in front of it. */
export async function layServerBehindNat() {
  await layMiddlebox(server, cable, away, farCable, '--address', outsideAddress, '--server', insideAddress);
  plugIn(insideAddress, publicAddress);
  ip('-n', server, 'route', 'add', 'default', 'dev', cable);
}

async function layMiddlebox(...args) {
  ip('netns', 'add', server);
  ip('netns', 'add', away);
  const script = new URL('middlebox.py', import.meta.url).pathname;
  carrier = spawn('python3', [script, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(carrier.stdout, 'data');
}

/** Puts up another wall, or makes it another kind of NAT; what was let through before is forgotten. */
export async function wall(kind) {
  carrier.stdin.write(`${kind}\n`);
  await once(carrier.stdout, 'data');
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
export function serve(https = false) {
  site = https ? `https://${address}:7880` : insecureSite;
  return start([https ? '--lan' : '--plain-http', '--bind', address, '--port', '7880']);
}

/** The same with HTTPS on port 443, as behind a wall; its certificate is one that the browsers trust. */
export async function serveSecurely() {
  site = `https://${publicAddress}`;
  const { cert, key, authority } = certified();
  home = trusting(authority);
  return start(['--cert', cert, '--key', key, '--bind', publicAddress, '--port', '443']);
}

/** Behind that NAT, without being told its address; it asks another server of ours, which is out there. */
export async function serveBehindNat() {
  site = `http://${outsideAddress}:7880`;
  // Two, so that a NAT shows whether it treats them alike.
  await Promise.all([3478, 3479].map(async (port) => {
    const out = spawn('ip', ['netns', 'exec', away, process.env.ENZA_TEST_BINARY, 'serve', '--plain-http', '--bind', publicAddress,
      '--port', String(port), '--data', join(folder, `outside-${port}`)], { stdio: ['ignore', 'pipe', 'ignore'] });
    others.push(out);
    await once(out.stdout, 'data');
  }));
  return start(behindNat);
}

const behindNat = ['--plain-http', '--bind', '0.0.0.0', '--port', '7880', '--stun-server', `${publicAddress}:3478`];

/** What `enza doctor` says beside that server, by check: `{ verdict, what, do }`. */
export async function doctorBehindNat() {
  const doctor = spawn('ip', ['netns', 'exec', server, process.env.ENZA_TEST_BINARY, 'doctor', ...behindNat,
    '--second-stun', `${publicAddress}:3479`, '--json', '--data', join(folder, 'data')], {
    stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, LANG: 'en_GB.UTF-8' },
  });
  let said = '';
  doctor.stdout.on('data', (piece) => { said += piece; });
  await once(doctor, 'close');
  return Object.fromEntries(JSON.parse(said).checks.map((line) => [line.check, line]));
}

/** `enza doctor --outside` beside the server behind a wall: the link that it shows, and later what it says, by check. */
export async function doctorAsksOutside() {
  const doctor = spawn('ip', ['netns', 'exec', server, process.env.ENZA_TEST_BINARY, 'doctor', '--outside', '--json',
    '--data', join(folder, 'data'), '--bind', publicAddress, '--port', '443', '--cert', join(folder, 'server.pem'), '--key', join(folder, 'server.key')],
  { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LANG: 'en_GB.UTF-8' } });
  others.push(doctor);
  const [said, shown] = [{ text: '' }, { text: '' }];
  doctor.stdout.on('data', (piece) => { said.text += piece; });
  doctor.stderr.on('data', (piece) => { shown.text += piece; });
  const ended = once(doctor, 'close');
  const link = () => shown.text.match(/https:\S+\/doctor#[\w-]{22}/)?.[0];
  await until(link, 20_000);
  return { link: link(), said: ended.then(() => Object.fromEntries(JSON.parse(said.text).checks.map((line) => [line.check, line]))) };
}

async function start(flags) {
  const output = join(folder, 'server.out');
  const log = openSync(join(folder, 'server.log'), 'w');
  daemon = spawn('ip', ['netns', 'exec', server, process.env.ENZA_TEST_BINARY, 'serve', ...flags,
    '--data', join(folder, 'data')], {
    stdio: ['ignore', openSync(output, 'w'), log], env: { ...process.env, LANG: 'en_GB.UTF-8', RUST_LOG: 'info' },
  });
  const secrets = () => [...new Set(readFileSync(output, 'utf8').match(/(?<=\/join#)[\w-]+/g) ?? [])];
  await until(() => secrets().length === 2, 30_000);
  const [host, guest] = secrets();
  return { host: `${site}/join#${host}`, guest: `${site}/join#${guest}` };
}

/** An authority for a day, and the server's certificate from it. */
function certified() {
  const [authority, cert, key] = ['authority.pem', 'server.pem', 'server.key'].map((name) => join(folder, name));
  const openssl = (...args) => execFileSync('openssl', args, { stdio: 'pipe' });
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  openssl(...request, '-subj', '/CN=Test authority', '-keyout', join(folder, 'authority.key'), '-out', authority,
    '-addext', 'keyUsage=critical,keyCertSign');
  openssl(...request, '-subj', '/CN=Test server', '-keyout', key, '-out', cert, '-CA', authority,
    '-CAkey', join(folder, 'authority.key'), '-addext', `subjectAltName=IP:${publicAddress}`,
    '-addext', 'basicConstraints=critical,CA:FALSE', '-addext', 'extendedKeyUsage=serverAuth');
  return { authority, cert, key };
}

/** A home folder in which Chromium trusts this authority, for TURN as well, where no warning can be passed. Needs libnss3-tools. */
function trusting(authority) {
  const made = join(folder, 'home');
  const store = join(made, '.pki', 'nssdb');
  mkdirSync(store, { recursive: true });
  const certutil = (...args) => execFileSync('certutil', ['-d', `sql:${store}`, ...args], { stdio: 'pipe' });
  certutil('-N', '--empty-password');
  certutil('-A', '-n', 'enza', '-t', 'C,,', '-i', authority);
  return made;
}

const browserIn = (space, colour) => launch('chromium', {
  language: 'en', camera: clip(colour, true), pipe: true, executablePath: inside(space, browserPath('chromium')),
  ...(home
    ? { acceptInsecureCerts: false, env: { ...process.env, HOME: home } }
    // Without a certificate this one address counts as secure, so camera and microphone work.
    : { moreArgs: [`--unsafely-treat-insecure-origin-as-secure=${site}`] }),
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
