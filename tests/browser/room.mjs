// Enza's page as a person uses it: links, the steps, the room. Reads what stands on the screen, by the page's roles and
// test ids.
import { readFileSync } from 'node:fs';
import { until } from './kit.mjs';

export const base = process.env.ENZA_TEST_BASE || 'http://localhost:7880';

/** The two links that the server printed at its first start. */
export function printedLinks(path = process.env.ENZA_TEST_OUTPUT) {
  if (!path) throw new Error('ENZA_TEST_OUTPUT must name the file with what the server printed');
  const links = readFileSync(path, 'utf8').match(/https?:\/\/\S+\/join#[\w-]+/g) ?? [];
  const [host, guest] = [...new Set(links.map((link) => link.split('/join#')[1]))];
  if (!host || !guest) throw new Error(`the server printed ${links.length} links, not a host's and a guest's`);
  return { host: `${base}/join#${host}`, guest: `${base}/join#${guest}` };
}

const waitFor = (page, selector, timeout = 15_000) => page.waitForSelector(selector, { visible: true, timeout });

/** From the link to the preview; `step(name)` is called at each screen. */
export async function openLink(page, link, name, step = async () => {}) {
  await page.goto(link, { waitUntil: 'load' });
  await waitFor(page, '#name');
  await step('name');
  await page.$eval('#name', (field) => field.select());
  await page.type('#name', name);
  await page.click('form.narrow button.main');
  await waitFor(page, '.preview [data-testid="camera"]');
  const ready = await until(() => pressed(page, 'camera'), 15_000);
  if (ready === null) throw new Error('the camera did not start in the preview');
  await step('preview');
}

/** From the preview into the room; `microphone` says whether one enters speaking. */
export async function enter(page, microphone = true) {
  if ((await pressed(page, 'microphone')) !== microphone) {
    await page.click('.preview [data-testid="microphone"]');
    await until(async () => (await pressed(page, 'microphone')) === microphone, 5000);
  }
  await page.click('form.wide button.main');
  await waitFor(page, '[data-testid="room"]');
}

/** The part of the page with this `data-testid`. */
export const id = (name) => `[data-testid="${name}"]`;

/** Presses what may be still to come. */
export async function tap(page, selector) {
  await page.waitForSelector(selector, { visible: true, timeout: 5000 });
  await page.click(selector);
}

/** Makes a room on the first page, where the server lets anybody; resolves to its links. */
export async function makeRoom(page, title) {
  await page.goto(`${base}/`, { waitUntil: 'load' });
  await tap(page, id('make-room'));
  await page.waitForSelector('#title');
  await page.type('#title', title);
  await page.click(`${id('create')} .btn.main`);
  await page.waitForSelector(id('made'));
  const link = (whose) => page.$eval(`#${whose}-link`, (field) => field.value);
  return { guest: await link('guest'), host: await link('host') };
}

/** Runs in the page before its scripts: `window.stopwatch` holds when the last press was and when somebody else's first frame came. */
export function stopwatch() {
  const watch = { pressed: null, frame: null };
  window.stopwatch = watch;
  addEventListener('click', () => { watch.pressed = performance.now(); }, true);
  const seen = new WeakSet();
  new MutationObserver(() => {
    for (const video of document.querySelectorAll('li[data-testid="seat"]:not(.me) video')) {
      if (seen.has(video)) continue;
      seen.add(video);
      video.requestVideoFrameCallback(() => { watch.frame ??= performance.now(); });
    }
  }).observe(document, { childList: true, subtree: true });
}

export const pressed = (page, kind) =>
  page.$eval(`[data-testid="${kind}"]`, (button) => button.getAttribute('aria-pressed') === 'true');

/** Presses a tool in the bar. */
export const press = (page, what) => page.click(`.room [data-testid="${what}"]`);

export const line = (page) => page.$eval('[data-testid="room"]', (room) => room.dataset.line);
export const isLive = async (page) => (await line(page)) === 'live';

/** Every seat but one's own: what is drawn there and how the picture runs. */
export const seats = (page) => page.evaluate(() => [...document.querySelectorAll('li[data-testid="seat"]:not(.me)')].map((seat) => {
  const video = seat.querySelector('video');
  return {
    identity: seat.dataset.identity,
    name: seat.querySelector('.plate .name').textContent.trim(),
    speaking: seat.classList.contains('speaking'),
    gone: seat.classList.contains('gone'),
    micOff: seat.querySelector('use[href="#i-mic-off"]') !== null,
    host: seat.querySelector('.tag') !== null,
    video: video !== null,
    width: video?.videoWidth ?? 0,
    frames: window.watched.frames.get(video) ?? 0,
    time: video?.currentTime ?? 0,
  };
}));

export const seat = async (page, name) => (await seats(page)).find((one) => one.name === name);

/** The colour in the middle of somebody's picture as [r, g, b]. */
export const middleOf = (page, name) => page.evaluate((wanted) => {
  const all = [...document.querySelectorAll('li[data-testid="seat"]')];
  const video = all.find((seat) => seat.querySelector('.plate .name').textContent.trim() === wanted)?.querySelector('video');
  if (!video?.videoWidth) return [0, 0, 0];
  const canvas = new OffscreenCanvas(1, 1);
  const context = canvas.getContext('2d');
  context.drawImage(video, video.videoWidth / 2, video.videoHeight / 2, 1, 1, 0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}, name);

/** Resolves to true when new frames of this person came to the screen within `ms`. */
export async function moves(page, name, ms = 3000) {
  const before = await seat(page, name);
  if (!before) return false;
  const moved = await until(async () => {
    const now = await seat(page, name);
    // A new element (after a rejoin) counts from zero.
    return now && now.width > 0 && now.frames !== before.frames && now.time !== before.time;
  }, ms);
  return moved !== null;
}

export const fault = (page) =>
  page.evaluate(() => document.querySelector('[data-testid="fault"]')?.dataset.fault ?? null);

/** Whether the page after leaving is shown: a letter that is no fault. */
export const hasLeft = async (page) =>
  await page.$('main .letter') !== null && await fault(page) === null;

/** "Enter again" on that page. */
export const comeBack = (page) => page.click('main .letter button.main');
