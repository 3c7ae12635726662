#!/usr/bin/env node
// Pictures of the page's states with made-up people, in Japanese and English, light and dark, on desk and phone: kept in
// tests/browser/pictures/ and compared. Needs no server: it builds web-client/tests/pictures and serves that itself.
//
//   node pictures.mjs            compares; what differs is put into tests/artifacts/pictures/, new and with the places marked
//   node pictures.mjs --renew    keeps the pictures as they are now; look at them before committing
//   node pictures.mjs 'text|people'  only the states whose name that expression matches
//
// Where browser and fonts are those with which the pictures were made (pictures/made-with.json), they must be the same
// but for noise. Elsewhere each word is drawn a little differently: then the share is told, and only what really looks
// otherwise is a failure, so that an update of a font does not turn the tests red and a lost panel still does.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, resolve } from 'node:path';
import { ALIKE_MAX, compare, handwriting, SAME_MAX } from './compare.mjs';
import { check, DESK, launch, openPage, PHONE, run, sleep, until } from './kit.mjs';
import { id, tap } from './room.mjs';

const kept = new URL('pictures/', import.meta.url).pathname;
const client = new URL('../../web-client/', import.meta.url).pathname;
const artifacts = join(process.env.ENZA_TEST_ARTIFACTS || 'tests/artifacts', 'pictures');
const renew = process.argv.includes('--renew');
const only = new RegExp(process.argv.slice(2).find((word) => !word.startsWith('--')) ?? '');
/** Legible, and 150 of them stay below 6 MB. */
const QUALITY = 50;

const circle = 'people=7&microphone=on&camera=on&speaking=2&hands=4,6&question=今週、ほっとしたことは？';
const hosted = `${circle}&host=1&lobby=1`;
const inRoomActions = (item) => async (page) => {
  await tap(page, id('room-actions'));
  await tap(page, id(item));
  await page.waitForSelector('dialog.dialog[open]');
};
const more = async (page) => {
  await tap(page, id('more'));
  await page.waitForSelector('dialog.menu[open]');
};

/** Each state: what the picture page is asked for, and what is pressed then. */
const states = {
  landing: ['screen=landing'],
  create: ['screen=create'],
  made: ['screen=made'],
  'made-on-paper': ['screen=made', (page) => page.emulateMediaType('print')],
  agreement: ['screen=agreement'],
  name: ['screen=name'],
  devices: ['screen=devices'],
  'devices-denied': ['screen=devices-denied'],
  waiting: ['screen=waiting'],
  circle: [circle],
  'circle-12': ['people=12&speaking=3&resting=5&weak=7&gone=8&sealed=1'],
  stage: [`${circle}&spotlight=3&view=stage`],
  text: [`${circle}&texts=1&panel=text`],
  people: [`${hosted}&panel=people`],
  'seat-menu': [hosted, async (page) => {
    await page.click('li[data-testid="seat"]:not(.me) .sit');
    await page.waitForSelector('dialog.menu[open]');
  }],
  more: [circle, more],
  settings: [circle, async (page) => {
    await more(page);
    await tap(page, id('open-settings'));
    await page.waitForSelector('dialog.dialog[open]');
  }],
  'room-rules': [`${hosted}&panel=people`, inRoomActions('room-settings')],
  invites: [`${hosted}&panel=people`, async (page) => {
    await inRoomActions('invites')(page);
    await tap(page, id('make-invite'));
    await page.waitForSelector('#fresh-link');
  }],
  notices: [`${circle}&held=1&held-pressed=1&sound-blocked=1`],
  reconnecting: [`${circle}&line=lost&lost-for=70000`],
  'by-text': [`${circle}&line=blocked`],
  interrupted: [`${circle}&interrupted=1`],
  away: [`${circle}&away=1`],
  'fault-unreachable': ['screen=unreachable'],
  'fault-invite-expired': ['screen=invite-expired'],
  left: ['screen=left'],
  'operator-key': ['screen=operator-key'],
  operator: ['screen=operator', (page) => page.waitForSelector(id('state'))],
};
const sizes = { desk: DESK, phone: PHONE };

/** Builds the picture page and serves it on loopback; resolves to its address. */
async function serve() {
  const { build } = await import(new URL('node_modules/vite/dist/node/index.js', `file://${client}`));
  const built = resolve(artifacts, '..', 'pictures-built');
  await build({
    root: client, configFile: join(client, 'vite.config.ts'), logLevel: 'warn',
    build: { outDir: built, emptyOutDir: true, rolldownOptions: { input: join(client, 'tests/pictures/index.html') } },
  });
  const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.png': 'image/png' };
  const http = createServer((request, response) => {
    const path = join(built, decodeURIComponent(new URL(request.url, 'http://x').pathname).replaceAll('..', ''));
    if (!existsSync(path)) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader('Content-Type', types[extname(path)] ?? 'application/octet-stream');
    response.end(readFileSync(path));
  });
  await new Promise((ready) => http.listen(0, '127.0.0.1', ready));
  http.unref();
  return `http://127.0.0.1:${http.address().port}/tests/pictures/index.html`;
}

/** Everything stands still: pictures have come, nothing moves, no cursor blinks. */
async function settled(page) {
  await page.addStyleTag({ content: '*, *::before, *::after { animation: none !important; transition: none !important; caret-color: transparent !important; scroll-behavior: auto !important }' });
  const drawn = await until(() => page.evaluate(() => [...document.querySelectorAll('video')].every((video) => video.srcObject === null || video.videoWidth > 0)
    && [...document.images].every((image) => image.complete)), 8000);
  await page.evaluate(() => document.fonts.ready);
  await sleep(120);
  return drawn !== null;
}

async function picture(page, address, [query, then], language, theme) {
  await page.goto(`${address}?${query}&lang=${language}&theme=${theme}`, { waitUntil: 'load' });
  // The screen's own part may come a moment after its frame; until then the page says that it is opening.
  await page.waitForSelector(query.startsWith('screen=') ? 'main h1:not([data-testid="opening"] > h1)' : `${id('room')} li, ${id('curtain')}`, { timeout: 30_000 });
  if (then !== undefined) {
    await then(page);
    await page.mouse.move(0, 0);
  }
  const still = await settled(page);
  return { still, bytes: Buffer.from(await page.screenshot({ type: 'webp', quality: QUALITY })) };
}

async function judged(name, bytes, judge, strict) {
  const path = join(kept, `${name}.webp`);
  if (renew) {
    writeFileSync(path, bytes);
    return { share: 0, ok: true };
  }
  if (!existsSync(path)) return { share: 1, ok: false, why: 'no picture is kept' };
  const url = (data) => `data:image/webp;base64,${data.toString('base64')}`;
  const { fine, broad, where } = await compare(judge, url(readFileSync(path)), url(bytes));
  const ok = strict ? fine <= SAME_MAX : broad <= ALIKE_MAX;
  if (!ok) {
    writeFileSync(join(artifacts, `${name}.webp`), bytes);
    if (where !== null) writeFileSync(join(artifacts, `${name}.where.png`), Buffer.from(where, 'base64'));
  }
  return { share: strict ? fine : broad, ok };
}

/** All states in one language, theme and size, each compared as soon as it is there. */
async function walk(browser, address, judge, strict, { language, theme, size }) {
  const page = await openPage(browser, sizes[size]);
  await page.emulateTimezone('Asia/Tokyo');
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }, { name: 'prefers-reduced-motion', value: 'reduce' }]);
  const which = `${language}-${theme}-${size}`;
  const differing = [];
  let [count, most] = [0, 0];
  for (const [state, what] of Object.entries(states)) {
    if (!only.test(state)) continue;
    const { still, bytes } = await picture(page, address, what, language, theme);
    await page.emulateMediaType('screen');
    const { share, ok, why } = await judged(`${state}-${which}`, bytes, judge, strict);
    count += 1;
    most = Math.max(most, share);
    if (!still) differing.push(`${state}: a picture in it did not come`);
    else if (!ok) differing.push(`${state}: ${why ?? `${(share * 100).toFixed(2)} % differ`}`);
  }
  check(`${which}: ${count} states look as they were kept`, count > 0 && differing.length === 0,
    differing.join(' | ') || `at most ${(most * 100).toFixed(3)} % of a picture differs`);
  await page.browserContext().close();
}

/** A comparison that sees nothing would pass everything. */
async function sees(browser, address, judge) {
  const page = await openPage(browser, PHONE);
  const taken = async () => `data:image/webp;base64,${(await page.screenshot({ type: 'webp', quality: QUALITY })).toString('base64')}`;
  await picture(page, address, states.circle, 'ja', 'light');
  const [before, again] = [await taken(), await taken()];
  const same = await compare(judge, before, again);
  await page.$eval(`${id('hand')} svg`, (icon) => icon.style.setProperty('visibility', 'hidden'));
  const less = await compare(judge, before, await taken());
  check('the comparison sees one icon that is gone, and nothing where nothing changed', same.fine <= SAME_MAX && less.fine > SAME_MAX,
    `${(same.fine * 100).toFixed(3)} %, ${(less.fine * 100).toFixed(3)} %`);
  await page.reload();
  await picture(page, address, states.circle, 'ja', 'light');
  await page.addStyleTag({ content: '* { font-family: serif !important }' });
  await sleep(200);
  const serif = await compare(judge, before, await taken());
  await picture(page, address, states.text, 'ja', 'light');
  const other = await compare(judge, before, await taken());
  check('with another font it still tells another screen', serif.broad <= ALIKE_MAX && other.broad > ALIKE_MAX,
    `${(serif.broad * 100).toFixed(1)} % (${(serif.fine * 100).toFixed(1)} % finely), ${(other.broad * 100).toFixed(1)} %`);
  await page.browserContext().close();
}

/** Every tool lies inside the window, whatever the size of the words and the language. */
async function tools(browser, address) {
  const page = await openPage(browser, DESK);
  const outside = [];
  let looked = 0;
  for (const language of ['en', 'ja']) {
    await picture(page, address, [`${hosted}&texts=1`], language, 'light');
    for (const width of [821, 840, 960, 1024, 1100, 1280]) {
      await page.setViewport({ width, height: 800 });
      for (const size of ['normal', 'large', 'largest']) {
        await page.evaluate((words) => { document.documentElement.dataset.size = words; }, size);
        await sleep(60);
        const found = await page.$$eval('.bar .tool', (all) => all.map((tool) => {
          const { left, right, bottom } = tool.getBoundingClientRect();
          const words = tool.querySelector('b').getBoundingClientRect();
          const inside = left >= 0 && right <= innerWidth && bottom <= innerHeight && tool.scrollWidth <= tool.clientWidth;
          return { name: tool.dataset.testid, inside: inside && words.width > 0 };
        }));
        looked += found.length;
        for (const { name, inside } of found) if (!inside) outside.push(`${language} ${width} ${size}: ${name}`);
      }
    }
  }
  check('every tool of the bar lies inside the window, in every size of the words', looked === 2 * 6 * 3 * 7 && outside.length === 0,
    outside.join(' | ') || `${looked} tools`);
  await page.browserContext().close();
}

async function main() {
  rmSync(artifacts, { recursive: true, force: true });
  mkdirSync(artifacts, { recursive: true });
  mkdirSync(kept, { recursive: true });
  const address = await serve();
  const browser = await launch('chromium', { language: 'ja' });
  const judge = await openPage(browser, DESK);
  await judge.goto(`${address}?screen=landing`, { waitUntil: 'load' });
  await judge.waitForSelector('h1');
  const here = { chromium: /\d+/.exec(await browser.version())[0], handwriting: await handwriting(judge) };
  const notes = join(kept, 'made-with.json');
  if (renew && only.source === '(?:)') writeFileSync(notes, `${JSON.stringify(here, null, 2)}\n`);
  const made = JSON.parse(readFileSync(notes, 'utf8'));
  const strict = made.chromium === here.chromium && made.handwriting === here.handwriting;
  console.log(strict ? 'browser and fonts are those of the kept pictures'
    : `note: another browser or other fonts (${JSON.stringify(here)}) than those of the kept pictures (${JSON.stringify(made)}): only what really looks otherwise fails`);
  const walks = ['ja', 'en'].flatMap((language) => ['light', 'dark'].flatMap((theme) => Object.keys(sizes).map((size) => ({ language, theme, size }))));
  await sees(browser, address, judge);
  await tools(browser, address);
  // Two at a time: a test machine has two processors.
  const lanes = [0, 1].map(async (lane) => {
    const own = await launch('chromium', { language: 'ja' });
    for (const [index, one] of walks.entries()) if (index % 2 === lane) await walk(own, address, judge, strict, one);
  });
  await Promise.all(lanes);
}

await run(main, 400_000);
