// What the page tests share: the check table, browsers with fake camera and microphone, screenshots.
// Knows nothing of Enza's page; that is room.mjs.
import { existsSync, mkdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import puppeteer from 'puppeteer-core';

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
/** The nearest rank: the smallest of `values` that at least `share` of them do not exceed. */
export const percentile = (values, share) =>
  [...values].sort((one, other) => one - other)[Math.min(values.length, Math.max(1, Math.ceil(share * values.length))) - 1];
export const seconds = (ms) => (ms === null ? 'never' : `${(ms / 1000).toFixed(2)} s`);

/** Milliseconds until `condition()` held, or null when it did not within `limit` ms. A throw counts as "not yet". */
export async function until(condition, limit, step = 50) {
  const began = performance.now();
  for (;;) {
    const held = await Promise.resolve().then(condition).catch(() => false);
    const took = performance.now() - began;
    if (held) return took;
    if (took > limit) return null;
    await sleep(step);
  }
}

// --- the check table ---------------------------------------------------------------------------------------------------

const count = { passed: 0, failed: 0 };

export function check(name, ok, detail = '') {
  count[ok ? 'passed' : 'failed'] += 1;
  console.log(`${ok ? 'pass' : 'FAIL'}  ${name.padEnd(66)} ${detail}`);
  if (!ok) keepPictures();
  return Boolean(ok);
}

/** Runs `main` within `limit` ms, closes every browser, prints the closing line and ends the process. */
export async function run(main, limit) {
  let timer;
  const stop = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`stopped after ${limit / 1000} s`)), limit);
  });
  try {
    await Promise.race([main(), stop]);
  } catch (error) {
    check('the script runs to its end', false, String(error?.stack ?? error).split('\n').slice(0, 4).join(' | '));
  }
  clearTimeout(timer);
  await Promise.race([Promise.all(pictures), sleep(5000)]);
  await closeBrowsers();
  console.log(`${count.passed} passed, ${count.failed} failed`);
  process.exit(count.failed || !count.passed ? 1 : 0);
}

// --- browsers ----------------------------------------------------------------------------------------------------------

const programs = {
  chromium: ['chromium', 'chromium-browser', 'google-chrome'],
  firefox: ['firefox-esr', 'firefox'],
};

/** The browser's program: `CHROMIUM_PATH` or `FIREFOX_PATH`, else the first known name on the PATH. */
export function browserPath(kind) {
  const variable = `${kind.toUpperCase()}_PATH`;
  const folders = (process.env.PATH ?? '').split(delimiter);
  const path = process.env[variable]
    || programs[kind].flatMap((name) => folders.map((folder) => join(folder, name))).find(existsSync);
  if (!path) throw new Error(`no ${kind} found; install it or set ${variable}`);
  return path;
}

const options = {
  chromium: ({ language, camera, microphone, moreArgs }) => ({
    args: [
      ...(camera ? [`--use-file-for-fake-video-capture=${camera}`] : []),
      ...(microphone ? [`--use-file-for-fake-audio-capture=${microphone}`] : []),
      '--no-sandbox', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
      '--autoplay-policy=no-user-gesture-required', '--allow-loopback-in-peer-connection',
      '--disable-features=WebRtcHideLocalIpsWithMdns', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--no-first-run', '--disable-gpu', `--lang=${language}`, `--accept-lang=${language}`,
      // Several tabs share one screen here; none of them is to be treated as hidden.
      '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows',
      '--disable-background-timer-throttling',
      // The last word on a switch holds.
      ...moreArgs,
    ],
  }),
  firefox: ({ language }) => ({
    browser: 'firefox',
    extraPrefsFirefox: {
      'intl.accept_languages': language,
      'media.navigator.streams.fake': true,
      'media.navigator.permission.disabled': true,
      'media.autoplay.default': 0,
      'media.peerconnection.ice.loopback': true,
      'media.peerconnection.ice.obfuscate_host_addresses': false,
    },
  }),
};

const opened = new Set();

/**
 * A new browser that asks for pages in `language` (`ja` or `en`). `camera` and `microphone` are files that Chromium's
 * fake devices deliver.
 */
export async function launch(kind, { language, camera, microphone, moreArgs = [], ...more }) {
  const browser = await puppeteer.launch({
    headless: true, executablePath: browserPath(kind), protocolTimeout: 60_000, acceptInsecureCerts: true,
    ...options[kind]({ language, camera, microphone, moreArgs }), ...more,
  });
  opened.add(browser);
  return browser;
}

export async function closeBrowsers() {
  const all = [...opened];
  opened.clear();
  await Promise.all(all.map((browser) => Promise.race([browser.close().catch(() => {}), sleep(5000)])));
}

/** Ends the browser's process at once, as a crash or an empty battery would: nothing in the page runs any more. */
export function kill(browser) {
  opened.delete(browser);
  browser.process().kill('SIGKILL');
}

/** Runs in every page before its own scripts: keeps hold of what the tests read or break. */
function watchFromWithin() {
  const kept = [];
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...args) {
      super(...args);
      kept.push(this);
    }
  };
  const sockets = [];
  const NativeSocket = window.WebSocket;
  window.WebSocket = class extends NativeSocket {
    constructor(...args) {
      super(...args);
      sockets.push(this);
    }
  };
  // Frames that came to the screen, per video element; the same in every browser.
  const frames = new WeakMap();
  const look = () => {
    for (const video of document.querySelectorAll('video')) {
      if (frames.has(video)) continue;
      frames.set(video, 0);
      const drawn = () => {
        frames.set(video, frames.get(video) + 1);
        video.requestVideoFrameCallback(drawn);
      };
      video.requestVideoFrameCallback(drawn);
    }
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true });
  window.watched = { peerConnections: kept, sockets, frames };
}

/** A page of its own (own storage in Chromium), `size` = `{ width, height }`. VERBOSE=1 shows its console. */
export async function openPage(browser, size) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  if (process.env.VERBOSE) {
    page.on('console', (message) => console.log('   [page]', message.text().slice(0, 300)));
    page.on('pageerror', (error) => console.log('   [page error]', String(error).slice(0, 300)));
  }
  await page.setViewport(size);
  await page.evaluateOnNewDocument(watchFromWithin);
  return page;
}

// --- what a page receives ------------------------------------------------------------------------------------------------

/** Sum of `totalAudioEnergy`, and the number of audio streams that ever had any, over all peer connections. */
export const heard = (page) => page.evaluate(async () => {
  const streams = [];
  for (const connection of window.watched.peerConnections) {
    if (connection.connectionState === 'closed') continue;
    for (const entry of (await connection.getStats()).values()) {
      if (entry.type === 'inbound-rtp' && entry.kind === 'audio') streams.push(entry.totalAudioEnergy ?? 0);
    }
  }
  return { energy: streams.reduce((sum, value) => sum + value, 0), voices: streams.filter((value) => value > 0).length };
});

// --- screenshots ---------------------------------------------------------------------------------------------------------

const shots = join(process.env.ENZA_TEST_ARTIFACTS || 'tests/artifacts', 'shots');
mkdirSync(shots, { recursive: true });

export const PHONE = { width: 390, height: 844 };
export const DESK = { width: 1280, height: 800 };

const pages = new Map();

/** From now on a failed check keeps a picture of this page. */
export const watch = (name, page) => pages.set(name, page);

const pictures = [];

function keepPictures() {
  const number = count.failed;
  if (number > 10) return;
  for (const [name, page] of pages) if (!page.isClosed()) pictures.push(shot(page, `failed-${number}-${name}`));
}

/** Saves what the page shows as `NAME.png`. */
export async function shot(page, name) {
  await page.screenshot({ path: join(shots, `${name}.png`) }).catch((error) => {
    console.log(`      no screenshot ${name}: ${error.message.split('\n')[0]}`);
  });
}
