#!/usr/bin/env node
// Figures of the page, printed, not judged: the first paint on a slow phone and a slow line, how smoothly 25 seats move, and
// memory while people come, give signs, write and go. Needs a running server on which anybody may make a room
// (ENZA_ROOMS=open). `node figures.mjs [MINUTES of the last one, 1]`
import { check, DESK, launch, openPage, percentile, PHONE, run, sleep, until } from './kit.mjs';
import { base, isLive, makeRoom, openLink } from './room.mjs';
import { sit } from './sit.mjs';

const minutes = Number(process.argv[2] ?? 1);
const OTHERS = 24;
/** A slow fourth-generation line, and a phone that is four times slower than this machine. */
const SLOW_LINE = { offline: false, latency: 150, downloadThroughput: (1.6e6 / 8) * 0.9, uploadThroughput: 750e3 / 8 };
const SLOWER = 4;

async function firstPaint(browser, path, what) {
  const [times, wholes] = [[], []];
  for (let turn = 0; turn < 5; turn++) {
    const page = await openPage(browser, PHONE);
    await page.evaluateOnNewDocument(() => {
      window.whole = null;
      new MutationObserver(() => {
        if (document.querySelector('h1') !== null) requestAnimationFrame((now) => { window.whole ??= now; });
      }).observe(document, { childList: true, subtree: true });
    });
    const session = await page.createCDPSession();
    await session.send('Network.enable');
    await session.send('Network.emulateNetworkConditions', SLOW_LINE);
    await session.send('Emulation.setCPUThrottlingRate', { rate: SLOWER });
    await page.goto(`${base}${path}`, { waitUntil: 'load' });
    await until(() => page.evaluate(() => window.whole !== null), 20_000);
    await sleep(300);
    const [paint, whole] = await page.evaluate(() => [performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Infinity, window.whole]);
    times.push(paint);
    wholes.push(whole);
    await page.browserContext().close();
  }
  const sorted = (values) => values.map(Math.round).sort((a, b) => a - b).join(', ');
  console.log(`first paint, ${what}: ${sorted(times)} ms; the whole screen: ${sorted(wholes)} ms`);
}

/** Milliseconds between frames while the layout changes eight times; and what of it the page's own work was. */
async function smoothness(page, what, change) {
  const session = await page.createCDPSession();
  await session.send('Performance.enable');
  const metrics = async () => Object.fromEntries((await session.send('Performance.getMetrics')).metrics.map(({ name, value }) => [name, value]));
  const before = await metrics();
  await page.evaluate(() => {
    window.frameTimes = [];
    const step = (now) => {
      window.frameTimes.push(now);
      window.frameLoop = requestAnimationFrame(step);
    };
    window.frameLoop = requestAnimationFrame(step);
  });
  for (let turn = 0; turn < 8; turn++) {
    await change(turn);
    await sleep(450);
  }
  const gaps = await page.evaluate(() => {
    cancelAnimationFrame(window.frameLoop);
    return window.frameTimes.slice(1).map((time, index) => time - window.frameTimes[index]);
  });
  const after = await metrics();
  const spent = (name) => Math.round(((after[name] - before[name]) * 1000) / 8);
  console.log(`25 seats, ${what}: frames each ${percentile(gaps, 0.5).toFixed(1)} ms (p50), ${percentile(gaps, 0.95).toFixed(1)} ms (p95), worst ${Math.max(...gaps).toFixed(0)} ms; `
    + `per change script ${spent('ScriptDuration')} ms, style ${spent('RecalcStyleDuration')} ms, layout ${spent('LayoutDuration')} ms`);
}

async function memory(page, helper, link) {
  const session = await page.createCDPSession();
  const heap = async () => {
    await session.send('HeapProfiler.collectGarbage');
    await session.send('HeapProfiler.collectGarbage');
    const [{ usedSize }, { nodes, jsEventListeners }] = [await session.send('Runtime.getHeapUsage'), await session.send('Memory.getDOMCounters')];
    return { megabytes: usedSize / 1e6, nodes, jsEventListeners };
  };
  const shown = ({ megabytes, nodes, jsEventListeners }) => `${megabytes.toFixed(2)} MB, ${nodes} nodes, ${jsEventListeners} listeners`;
  const end = Date.now() + minutes * 60_000;
  let turn = 0;
  const churn = async () => {
    const one = await sit(helper, link, `Guest ${turn}`);
    await one.ask({ type: 'react', reaction: '👏' });
    await one.ask({ type: 'raise-hand' });
    if (turn % 4 === 0) await one.ask({ type: 'write', to: 'everyone', body: `line ${turn}` });
    await sleep(400);
    await one.leave();
    await sleep(200);
    turn += 1;
  };
  // What is loaded once is loaded now.
  for (let first = 0; first < 10; first++) await churn();
  await sleep(7000);
  const begin = await heap();
  console.log(`memory at first: ${shown(begin)}`);
  let said = Date.now();
  while (Date.now() < end) {
    await churn();
    if (Date.now() - said > 60_000) {
      said = Date.now();
      console.log(`memory after ${turn} people came and went: ${shown(await heap())}`);
    }
  }
  await sleep(7000);
  const after = await heap();
  console.log(`memory after ${turn} people came and went: ${shown(after)}`);
  check('a page through which people come and go holds on to none of them', after.nodes < begin.nodes * 1.5, `${begin.nodes} to ${after.nodes} nodes`);
}

async function main() {
  const browser = await launch('chromium', { language: 'en' });
  await firstPaint(browser, '/', 'first page');
  await firstPaint(browser, '/join#nothing-like-it', 'a link');
  const page = await openPage(browser, DESK);
  const { guest: link, host } = await makeRoom(page, 'Large circle');
  await openLink(page, host, 'Host');
  await page.click('form.wide button.main');
  await until(() => isLive(page), 15_000);
  const helper = await openPage(browser, PHONE);
  await helper.goto(`${base}/`, { waitUntil: 'load' });
  await page.bringToFront();
  const others = [];
  for (let seat = 0; seat < OTHERS; seat++) others.push(await sit(helper, link, `Person ${seat + 2}`));
  await until(async () => (await page.$$('li[data-testid="seat"]')).length === OTHERS + 1, 10_000);
  await smoothness(page, 'circle and stage in turns', () => page.keyboard.down('Alt').then(() => page.keyboard.press('KeyG')).then(() => page.keyboard.up('Alt')));
  await smoothness(page, 'a panel opens and closes', () => page.click('.room [data-testid="people"]'));
  let extra = null;
  await smoothness(page, 'somebody comes and goes', async () => {
    if (extra === null) extra = await sit(helper, link, 'Visitor');
    else {
      await extra.leave();
      extra = null;
    }
  });
  for (const other of others.splice(8)) await other.leave();
  await memory(page, helper, link);
}

await run(main, (minutes + 4) * 60_000);
