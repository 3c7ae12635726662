#!/usr/bin/env node
// Every screen in Japanese and English, on a phone and on a desk, light and dark: a picture of each is kept, and nothing may
// stick out sideways, stand in the wrong language, be out of reach of a screen reader or write an error.
import { readFileSync } from 'node:fs';
import { violations } from './axe.mjs';
import { check, DESK, launch, openPage, PHONE, run, shot, sleep, until } from './kit.mjs';
import { base, enter, fault, hasLeft, id, isLive, openLink, press, printedLinks, seats } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));
const links = printedLinks();
const key = readFileSync(`${process.env.ENZA_TEST_DATA}/operator-key`, 'utf8').trim();
const sizes = { phone: PHONE, desk: DESK };

/** The page fits its width, says its language, and has a heading. */
async function looks(page, name, language) {
  await sleep(400); // seats settle
  await shot(page, name);
  const found = await page.evaluate(() => ({
    overflow: document.documentElement.scrollWidth - innerWidth,
    language: document.documentElement.lang,
    title: document.title,
    headings: document.querySelectorAll('h1').length,
    raw: /\{\w+\}|undefined|NaN|\[object/.exec(document.body.innerText)?.[0] ?? null,
  }));
  const ok = found.overflow <= 0 && found.language === language && found.headings === 1
    && found.title.length > 0 && found.raw === null;
  check(`${name} fits, speaks ${language}, has one heading`, ok, ok ? '' : JSON.stringify(found));
  const wrong = await violations(page);
  check(`${name}: axe finds nothing`, wrong.length === 0, wrong.join(' | '));
}

/** The operator's page: a wrong key is told, the right one shows those two who are inside, and after a reload it is asked for again. */
async function operator(page, walk, shown) {
  await page.goto(`${base}/admin`, { waitUntil: 'load' });
  await page.waitForSelector('#key');
  await page.type('#key', `${key.slice(0, -2)}xx`);
  await page.keyboard.press('Enter');
  check(`${walk}: a wrong key is told`, await until(() => page.$('#key-wrong'), 5000) !== null && await page.$(id('state')) === null);
  await shown('9-operator-key');
  await page.$eval('#key', (field) => field.select());
  await page.type('#key', key);
  await page.keyboard.press('Enter');
  await until(() => page.$(id('state')), 5000);
  const figures = () => page.$$eval('[data-figure="people"], [data-figure="rooms"]', (all) => all.map((one) => one.textContent).join(' '));
  // Who has just left is counted for a moment longer; the page asks again by itself.
  const counted = await until(async () => await figures() === '2 1', 20_000);
  check(`${walk}: the operator's page counts those who are inside`, counted !== null, await figures());
  await shown('9-operator');
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
  check(`${walk}: the key is nowhere in the browser's storage`, !kept.includes(key) && !(await page.content()).includes(key));
  await page.reload({ waitUntil: 'load' });
  check(`${walk}: a reload asks for it again`, await until(() => page.$('#key'), 5000) !== null);
}

async function walk(browser, language, size) {
  const page = await openPage(browser, sizes[size]);
  // Dark in two of the four walks, so that each language and each size is seen in both.
  const theme = (language === 'ja') === (size === 'phone') ? 'dark' : 'light';
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }]);
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  const outside = new Set();
  page.on('request', (request) => {
    const address = new URL(request.url());
    if (address.protocol.startsWith('http') && address.origin !== new URL(base).origin) outside.add(address.origin);
  });
  const shown = (step) => looks(page, `${language}-${size}-${step}`, language);

  await page.goto(`${base}/`, { waitUntil: 'load' });
  await until(() => page.$('#link'), 5000);
  await shown('1-landing');
  await page.goto(`${base}/join#nothing`, { waitUntil: 'load' });
  await until(() => fault(page), 5000);
  await shown('2-no-such-room');
  await openLink(page, links.guest, names[language === 'ja' ? 2 : 3], async (step) => {
    await shown(step === 'name' ? '3-name' : '4-preview');
  });
  await enter(page);
  await until(() => isLive(page), 15_000);
  await until(async () => (await seats(page)).every((one) => !one.video || one.width > 0), 10_000);
  await shown('5-room');
  await page.click('li[data-testid="seat"]:not(.me) .sit');
  await until(() => page.$('dialog.menu[open]'), 3000);
  await shown('6-seat-menu');
  await page.click('dialog.menu [role="menuitemcheckbox"]');
  await until(() => page.$('[data-testid="large"].pictured'), 5000);
  await shown('6-stage');
  await page.click('[data-testid="to-circle"]');
  await page.click('[data-testid="more"]');
  await until(() => page.$('dialog.menu[open]'), 3000);
  await shown('6-more');
  await page.click('[data-testid="open-settings"]');
  await until(() => page.$('dialog.dialog[open]'), 3000);
  await shown('6-settings');
  await page.keyboard.press('Escape');
  await press(page, 'leave');
  await until(() => hasLeft(page), 5000);
  await shown('7-left');
  await page.goto(`${base}/doctor`, { waitUntil: 'load' });
  const verdict = () => page.$eval(id('doctor'), (doctor) => doctor.dataset.verdict);
  await until(async () => await verdict() !== '', 15_000);
  check(`${language}-${size}: the doctor knows this very computer`, await verdict() === 'this-computer', await verdict());
  await shown('8-doctor');
  await operator(page, `${language}-${size}`, shown);
  check(`${language}-${size}: no script error`, errors.length === 0, errors[0] ?? '');
  check(`${language}-${size}: nothing is asked of any other server`, outside.size === 0, [...outside].join(' '));
  await page.browserContext().close();
}

async function main() {
  const others = await launch('chromium', { language: 'en' });
  for (const [name, camera] of [[names[0], true], [names[1], false]]) {
    const page = await openPage(others, DESK);
    await openLink(page, links.guest, name);
    if (!camera) await page.click('.preview [data-testid="camera"]');
    await enter(page, camera);
    await until(() => isLive(page), 15_000);
  }
  for (const language of ['ja', 'en']) {
    const browser = await launch('chromium', { language });
    for (const size of Object.keys(sizes)) await walk(browser, language, size);
    await browser.close();
  }
}

await run(main, 240_000);
