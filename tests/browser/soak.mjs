#!/usr/bin/env node
// A page that stays: one person in the room for many minutes, with sound and picture, while others come, give signs,
// write and go, pictures come and stop, panels open, views change and the page is called away. Prints a table of heap
// (after a forced collection), nodes, listeners and the renderer's resident memory, and how they rise per hour in the
// second half. Not a stage of tests/run. Needs a running server on which anybody may make a room (ENZA_ROOMS=open), on
// this machine. `node soak.mjs [MINUTES, 30]`
import { readFileSync } from 'node:fs';
import { clip, voice } from './fake.mjs';
import { check, DESK, launch, openPage, PHONE, run, sleep, until } from './kit.mjs';
import { base, enter, id, isLive, makeRoom, openLink, press, seat } from './room.mjs';
import { sit } from './sit.mjs';

const minutes = Number(process.argv[2] ?? 30);
const ROUND_MS = 60_000;
/** Of the heap per hour in the second half: a whole meeting later the page is as light as before. */
const HEAP_RISE_MAX = 4;
/** Of the renderer: its memory comes and goes in larger pieces. */
const RESIDENT_RISE_MAX = 60;

/** Megabytes that each process of the browser's pages holds, the largest first. */
function renderers(browser) {
  const parent = browser.process().pid;
  const found = [];
  const walk = (pid) => {
    for (const child of readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)) {
      try {
        const command = readFileSync(`/proc/${child}/cmdline`, 'utf8');
        const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child}/status`, 'utf8'))?.[1];
        if (command.includes('--type=renderer') && kilobytes !== undefined) found.push(Number(kilobytes) / 1000);
        walk(child);
      } catch {
        // Ended while we looked.
      }
    }
  };
  walk(parent);
  return found.sort((a, b) => b - a);
}

/** How much a value rises per hour, by least squares. */
function slope(rows, value) {
  const points = rows.map((row) => [row.minute / 60, value(row)]);
  const mean = (at) => points.reduce((sum, point) => sum + point[at], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const spread = points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0);
  return points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0) / spread;
}

async function main() {
  // The page that is measured has a browser of its own, so that its renderer is the only large one.
  const [mine, theirs] = [await launch('chromium', { language: 'ja', camera: clip('red'), microphone: voice() }),
    await launch('chromium', { language: 'en', camera: clip('blue'), microphone: voice() })];
  const page = await openPage(mine, DESK);
  const { guest: guestLink, host: hostLink } = await makeRoom(page, '長い会');
  await openLink(page, hostLink, 'あかり');
  await enter(page);
  await until(() => isLive(page), 20_000);
  const helper = await openPage(theirs, PHONE);
  await helper.goto(`${base}/`, { waitUntil: 'load' });
  for (let other = 0; other < 5; other++) await sit(helper, guestLink, `Stays ${other}`);

  const session = await page.createCDPSession();
  const measure = async (minute, people) => {
    await session.send('HeapProfiler.collectGarbage');
    await session.send('HeapProfiler.collectGarbage');
    const [{ usedSize }, { nodes, jsEventListeners }] = [await session.send('Runtime.getHeapUsage'), await session.send('Memory.getDOMCounters')];
    const row = { minute, people, heap: usedSize / 1e6, nodes, listeners: jsEventListeners, resident: renderers(mine)[0] ?? NaN };
    console.log(`${String(Math.round(minute)).padStart(4)} min  ${String(people).padStart(5)} came and went  heap ${row.heap.toFixed(2).padStart(6)} MB  `
      + `${String(nodes).padStart(5)} nodes  ${String(jsEventListeners).padStart(4)} listeners  renderer ${row.resident.toFixed(0).padStart(4)} MB`);
    return row;
  };

  let people = 0;
  /** Without a handle on the element: a handle would keep it, and be measured as the page's. */
  const touch = (selector) => until(() => page.evaluate((wanted) => {
    const found = document.querySelector(wanted);
    found?.click();
    return found !== null;
  }, selector), 5000);
  const keyed = async (key) => {
    await page.keyboard.down('Alt');
    await page.keyboard.press(key);
    await page.keyboard.up('Alt');
  };
  /** By text: to come, sign, write, go. */
  const visit = async () => {
    const one = await sit(helper, guestLink, `Guest ${people}`);
    await one.ask({ type: 'react', reaction: '👏' });
    await one.ask({ type: 'raise-hand' });
    await one.ask({ type: 'write', to: 'everyone', body: `line ${people} https://example.org/${people}` });
    await sleep(600);
    await one.leave();
    people += 1;
  };
  /** With sound and picture. */
  const call = async () => {
    const guest = await openPage(theirs, PHONE);
    await openLink(guest, guestLink, `Seen ${people}`);
    await enter(guest);
    await until(async () => (await seat(page, `Seen ${people}`))?.width > 0, 15_000);
    await keyed('g');
    await sleep(1500);
    await keyed('g');
    await press(guest, 'leave');
    await sleep(800);
    await guest.browserContext().close();
    people += 1;
  };
  const ownDoings = async () => {
    for (const panel of ['chat', 'people']) {
      await press(page, panel);
      await sleep(400);
      await press(page, panel);
    }
    await press(page, 'more');
    await touch(id('open-settings'));
    await sleep(400);
    await page.keyboard.press('Escape');
    await keyed('c');
    await sleep(700);
    await keyed('c');
    await keyed('x');
    await touch(`${id('curtain')} .btn.main`);
    await sleep(500);
    await keyed('c');
  };

  const begun = Date.now();
  const rows = [];
  // The table begins when everything was loaded once, and the chat is full: it keeps 200 texts.
  for (let turn = 0; turn < 12; turn++) await visit();
  await call();
  await ownDoings();
  for (let round = 0; Date.now() - begun < minutes * 60_000; round++) {
    const next = Date.now() + ROUND_MS;
    await call();
    await ownDoings();
    while (Date.now() < next) await visit();
    // Signs, told lines and the last guest's frames are gone by then.
    await sleep(2000);
    rows.push(await measure((Date.now() - begun) / 60_000, people));
  }
  const half = rows.slice(Math.floor(rows.length / 2));
  const [heap, resident, nodes] = [slope(half, (row) => row.heap), slope(half, (row) => row.resident), slope(half, (row) => row.nodes)];
  console.log(`second half, per hour: heap ${heap.toFixed(2)} MB, renderer ${resident.toFixed(1)} MB, nodes ${nodes.toFixed(0)}`);
  check('still in the room, live', await isLive(page));
  check('the heap is flat', heap <= HEAP_RISE_MAX, `${heap.toFixed(2)} MB per hour, at most ${HEAP_RISE_MAX}`);
  check('the renderer is flat', resident <= RESIDENT_RISE_MAX, `${resident.toFixed(1)} MB per hour, at most ${RESIDENT_RISE_MAX}`);
}

await run(main, (minutes + 6) * 60_000);
