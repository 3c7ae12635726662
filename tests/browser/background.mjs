#!/usr/bin/env node
// What is seen behind somebody: the picture that leaves the browser changes, before it leaves; everything it takes comes
// from our own server; and where it cannot be had the camera stays shut. Needs a running server; tests/run starts one.
import { readFileSync } from 'node:fs';
import { clip, voice } from './fake.mjs';
import { check, DESK, launch, openPage, run, seconds, shot, sleep, until, watch } from './kit.mjs';
import { base, enter, isLive, middleOf, openLink, press, pressed, printedLinks, seat } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));
const links = printedLinks();
const MOSS = [111, 128, 88];
const INDIGO = [91, 103, 150];
const RED = [230, 26, 10];
const near = (colour, wanted) => colour.every((value, index) => Math.abs(value - wanted[index]) < 30);
const shows = (page, name, wanted, limit = 30_000) => until(async () => near(await middleOf(page, name), wanted), limit);
/** All colours that are seen of somebody for so many milliseconds. */
async function within(page, name, ms) {
  const seen = [];
  for (const end = Date.now() + ms; Date.now() < end; await sleep(20)) seen.push(await middleOf(page, name));
  return seen;
}
async function choose(page, background) {
  await press(page, 'more');
  await page.click('[data-testid="open-settings"]');
  await page.waitForSelector('#background');
  await page.select('#background', background);
  await page.keyboard.press('Escape');
}
const parts = (page) => page.evaluate(() => performance.getEntriesByType('resource').map((one) => one.name).filter((name) => name.includes('background')));

async function main() {
  const moreArgs = ['--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'];
  const chromium = await launch('chromium', { language: 'en', camera: clip('red'), microphone: voice(), moreArgs });
  const [ann, ben] = [await openPage(chromium, DESK), await openPage(chromium, DESK)];
  watch('background-ann', ann);
  watch('background-ben', ben);
  const outside = new Set();
  ann.on('request', (request) => {
    const address = new URL(request.url());
    if (address.protocol.startsWith('http') && address.origin !== new URL(base).origin) outside.add(address.origin);
  });
  await openLink(ben, links.host, names[1]);
  await enter(ben, false);
  await openLink(ann, links.guest, names[0]);
  check('nothing of it is loaded before it is chosen', (await parts(ann)).length === 0);
  await ann.select('#background', 'moss');
  // Colours that were ever on the screen of the preview from here on: the room may not be one of them.
  const shown = await until(async () => (await pressed(ann, 'camera')) && (await ann.evaluate(() => {
    const video = document.querySelector('.preview video');
    if (!video?.videoWidth) return false;
    const canvas = new OffscreenCanvas(1, 1);
    const context = canvas.getContext('2d');
    context.drawImage(video, video.videoWidth / 2, video.videoHeight / 2, 1, 1, 0, 0, 1, 1);
    const [red, green] = context.getImageData(0, 0, 1, 1).data;
    return green > red;
  })), 30_000);
  check('the preview shows the chosen background', shown !== null, seconds(shown));
  await shot(ann, 'background-preview');
  await enter(ann, false);
  await until(() => isLive(ann), 15_000);
  const seen = [];
  const first = await until(async () => {
    const colour = await middleOf(ben, names[0]);
    if (colour.some((value) => value > 0)) seen.push(colour);
    return near(colour, MOSS);
  }, 30_000, 20);
  check('the others see it', first !== null, `${seconds(first)}, ${await middleOf(ben, names[0])}`);
  check('and never saw the room', seen.length > 0 && !seen.some((colour) => near(colour, RED)), `${seen.length} pictures looked at`);
  await shot(ben, 'background-seen');

  await press(ann, 'more');
  await ann.click('[data-testid="open-settings"]');
  await ann.waitForSelector('#background');
  await ann.select('#background', 'indigo');
  check('another colour is seen at once', (await shows(ben, names[0], INDIGO)) !== null, `${await middleOf(ben, names[0])}`);
  await ann.keyboard.press('Escape');
  await press(ann, 'camera');
  await until(async () => !(await pressed(ann, 'camera')), 5000);
  await press(ann, 'camera');
  await until(() => pressed(ann, 'camera'), 10_000);
  await sleep(500);
  check('off and on again, it is still there', (await shows(ben, names[0], INDIGO, 10_000)) !== null && (await seat(ben, names[0])).video, `${await middleOf(ben, names[0])}`);
  await ann.reload({ waitUntil: 'load' });
  await until(() => isLive(ann), 15_000);
  check('and after a reload', (await shows(ben, names[0], INDIGO)) !== null, `${await middleOf(ben, names[0])}`);
  await press(ann, 'more');
  await ann.click('[data-testid="open-settings"]');
  await ann.waitForSelector('#background');
  await ann.select('#background', 'none');
  check('as it is: the room is seen', (await shows(ben, names[0], RED)) !== null, `${await middleOf(ben, names[0])}`);
  await ann.select('#background', 'moss');
  check('chosen while the camera is on: it is seen', (await shows(ben, names[0], MOSS)) !== null, `${await middleOf(ben, names[0])}`);
  check('and the room not once more', (await within(ben, names[0], 1500)).every((colour) => !near(colour, RED)));
  await ann.select('#background', 'none');
  await shows(ben, names[0], RED);
  check('nothing was asked of any other server', outside.size === 0, [...outside].join(' '));
  const loaded = await parts(ann);
  check('all of it came from our own', loaded.length > 0 && loaded.every((name) => name.startsWith(base)), `${loaded.length} files`);

  // What the engine's file meets: `hold` keeps it waiting until it is let go.
  let engine = 'hold';
  const waiting = [];
  await ann.setRequestInterception(true);
  ann.on('request', (request) => {
    if (!request.url().endsWith('.wasm') || engine === 'come') void request.continue();
    else if (engine === 'hold') waiting.push(request);
    else void request.abort();
  });
  await ann.setCacheEnabled(false);
  await ann.reload({ waitUntil: 'load' });
  await until(() => isLive(ann), 15_000);
  await until(() => pressed(ann, 'camera'), 10_000);
  await choose(ann, 'moss');
  const held = await until(() => waiting.length > 0, 10_000);
  await press(ann, 'camera');
  const shut = await until(async () => (await ann.$eval('.bar [data-testid="camera"]', (tool) => tool.textContent)).includes('Off'), 2000);
  check('a press while the background loads closes the camera at once', held !== null && shut !== null, seconds(shut));
  engine = 'come';
  for (const request of waiting.splice(0)) void request.continue();
  await sleep(4000);
  check('and it stays closed when the background has come', !(await pressed(ann, 'camera')) && !(await seat(ben, names[0])).video);
  await press(ann, 'camera');
  const hidden = [];
  const opened = await until(async () => {
    const colour = await middleOf(ben, names[0]);
    if (colour.some((value) => value > 0)) hidden.push(colour);
    return near(colour, MOSS);
  }, 30_000, 20);
  check('opened again it has the background, from its first picture on', opened !== null && !hidden.some((colour) => near(colour, RED)), seconds(opened));
  await choose(ann, 'none');
  await shows(ben, names[0], RED);

  // Where the engine does not come, the camera stays shut.
  engine = 'fail';
  await ann.reload({ waitUntil: 'load' });
  await until(() => isLive(ann), 15_000);
  await choose(ann, 'moss');
  const said = await until(() => ann.$('[data-fault="camera background"]'), 30_000);
  check('where it cannot be had, that is said and the camera is off', said !== null && !(await pressed(ann, 'camera')), seconds(said));
  await shot(ann, 'background-fault');
  await until(async () => !(await seat(ben, names[0])).video, 5000);
  await ann.click('[data-fault="camera background"] button:not(.square)');
  await sleep(3000);
  check('“try again” in vain sends nothing of the room', !(await pressed(ann, 'camera')) && !(await seat(ben, names[0])).video);
  engine = 'come';
  await ann.click('[data-fault="camera background"] button:not(.square)');
  const retried = [];
  const works = await until(async () => {
    const colour = await middleOf(ben, names[0]);
    if (colour.some((value) => value > 0)) retried.push(colour);
    return near(colour, MOSS);
  }, 30_000, 20);
  check('“try again” that works shows the background, and never the room', works !== null && !retried.some((colour) => near(colour, RED)),
    `${seconds(works)}, ${retried.length} pictures looked at`);
}

await run(main, 150_000);
