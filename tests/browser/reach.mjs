#!/usr/bin/env node
// The page for everybody: the whole way by keyboard alone, twice the text, forced colours, more contrast, less motion.
// Needs a running server; tests/run starts one.
import { readFileSync } from 'node:fs';
import { violations } from './axe.mjs';
import { voice } from './fake.mjs';
import { check, DESK, launch, openPage, PHONE, run, shot, sleep, until } from './kit.mjs';
import { enter, hasLeft, isLive, openLink, press, pressed, printedLinks } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));
const links = printedLinks();

const about = (page) => page.evaluate(() => {
  const at = document.activeElement;
  const words = at?.getAttribute('aria-label') ?? at?.innerText ?? '';
  return `${at?.tagName.toLowerCase()} ${at?.id ?? ''} ${words}`.replace(/\s+/g, ' ').trim();
});

/** Tab until the focused thing's words match; the focus must be visible on the way. */
async function tabTo(page, wanted, limit = 40) {
  for (let turn = 0; turn < limit; turn++) {
    if (wanted.test(await about(page))) return true;
    await page.keyboard.press('Tab');
  }
  return false;
}

async function byKeyboard(browser) {
  const page = await openPage(browser, DESK);
  await page.goto(links.guest, { waitUntil: 'load' });
  await page.waitForSelector('#name');
  check('keyboard: to the name field', await tabTo(page, /^input name/), await about(page));
  await page.keyboard.type(names[3]);
  await page.keyboard.press('Enter');
  await page.waitForSelector('form.wide');
  await until(async () => await page.$('form.wide [aria-disabled="true"]') === null, 10_000);
  check('keyboard: to the microphone in the preview', await tabTo(page, /^button .*Microphone/), await about(page));
  check('keyboard: to "Enter the room"', await tabTo(page, /Enter the room/), await about(page));
  await page.keyboard.press('Enter');
  await page.waitForSelector('[data-testid="room"]');
  await until(() => isLive(page), 15_000);
  check('keyboard: the reading point is the room\'s name', /^h1/.test(await about(page)), await about(page));
  check('keyboard: to the seats, one stop', await tabTo(page, /^button .*, You/), await about(page));
  const ring = await page.evaluate(() => {
    const style = getComputedStyle(document.activeElement.querySelector('.disc'));
    return `${style.outlineStyle} ${style.outlineWidth}`;
  });
  check('keyboard: the focus is seen', ring === 'solid 3px', ring);
  await page.keyboard.press('Enter');
  await until(() => page.$('dialog.menu[open]'), 2000);
  check('keyboard: the menu\'s first line has the focus', /See large/.test(await about(page)), await about(page));
  await page.keyboard.press('Enter');
  check('keyboard: the stage', await until(() => page.$('[data-view="stage"]'), 3000) !== null);
  check('keyboard: back to the circle', await tabTo(page, /Back to the circle/), await about(page));
  await page.keyboard.press('Enter');
  await until(() => page.$('[data-view="circle"]'), 3000);
  check('keyboard: to the microphone', await tabTo(page, /^button .*Microphone/), await about(page));
  const before = await pressed(page, 'microphone');
  await page.keyboard.press('Enter');
  check('keyboard: microphone on', await until(async () => await pressed(page, 'microphone') !== before, 5000) !== null);
  check('keyboard: to More', await tabTo(page, /^button .*More/), await about(page));
  await page.keyboard.press('Enter');
  await until(() => page.$('dialog.menu[open]'), 2000);
  await page.keyboard.press('End');
  await page.keyboard.press('ArrowUp');
  check('keyboard: arrows in the menu', /Settings/.test(await about(page)), await about(page));
  await page.keyboard.press('Enter');
  await until(() => page.$('dialog.dialog[open]'), 2000);
  check('keyboard: the focus goes into the dialog', /^h2 .*Settings/.test(await about(page)), await about(page));
  await page.keyboard.press('Escape');
  check('keyboard: and back to More', await until(async () => /More/.test(await about(page)), 2000) !== null, await about(page));
  await page.keyboard.down('Alt');
  await page.keyboard.press('l');
  await page.keyboard.up('Alt');
  check('keyboard: Alt+L reaches Leave, and only that', /Leave/.test(await about(page)) && !(await hasLeft(page)), await about(page));
  await page.keyboard.press('Enter');
  check('keyboard: out', await until(() => hasLeft(page), 5000) !== null);
  await page.browserContext().close();
}

/** Sideways scroll, and buttons whose words stick out. */
const sticksOut = (page) => page.evaluate(() => {
  const wide = document.documentElement.scrollWidth - innerWidth;
  const cut = [...document.querySelectorAll('button, label, h1, h2, legend')].filter((one) => {
    const box = one.getBoundingClientRect();
    return box.width > 0 && getComputedStyle(one).position !== 'absolute' && !one.closest('.strip, .rows') && (box.left < -1 || box.right > innerWidth + 1);
  });
  return [...(wide > 0 ? [`page ${wide} px`] : []), ...cut.map((one) => one.innerText.slice(0, 24))];
});

async function largeText(browser, language) {
  const page = await openPage(browser, PHONE);
  // Twice the browser's own size, as somebody has it who sets it once for every page.
  const session = await page.createCDPSession();
  await session.send('Page.setFontSizes', { fontSizes: { standard: 32, fixed: 26 } });
  const looks = async (step) => {
    await sleep(300);
    const out = await sticksOut(page);
    check(`twice the text, ${language}: ${step} fits a phone`, out.length === 0, out.join(' | '));
    await shot(page, `reach-${language}-200-${step.replaceAll(' ', '-')}`);
  };
  await openLink(page, links.guest, names[3], async (step) => looks(`the ${step}`));
  await enter(page);
  await until(() => isLive(page), 15_000);
  await looks('the room');
  await press(page, 'more');
  await until(() => page.$('dialog.menu[open]'), 3000);
  await looks('the menu');
  await page.click('[data-testid="open-settings"]');
  await until(() => page.$('dialog.dialog[open]'), 3000);
  await looks('the settings');
  await page.browserContext().close();
}

async function otherEyes(browser) {
  const page = await openPage(browser, DESK);
  const session = await page.createCDPSession();
  const media = (features) => session.send('Emulation.setEmulatedMedia', { features });
  await openLink(page, links.guest, names[3]);
  await enter(page);
  await until(() => isLive(page), 15_000);
  await media([{ name: 'prefers-reduced-motion', value: 'reduce' }]);
  const moving = await page.evaluate(() => [...document.querySelectorAll('*')].filter((one) => {
    const style = getComputedStyle(one);
    return style.transitionDuration.split(',').some((time) => parseFloat(time) > 0) || style.animationName !== 'none';
  }).map((one) => one.className));
  check('less motion: nothing moves', moving.length === 0, String(moving.slice(0, 4)));
  for (const [name, value] of [['forced-colors', 'active'], ['prefers-contrast', 'more']]) {
    await media([{ name, value }]);
    await sleep(200);
    await shot(page, `reach-${name}`);
    const wrong = await violations(page);
    check(`${name}: axe finds nothing`, wrong.length === 0, wrong.join(' | '));
  }
  await media([{ name: 'forced-colors', value: 'active' }]);
  const edges = await page.$$eval('.bar .tool:not(.plain), .btn', (all) => all.filter((one) => one.offsetWidth > 0).map((one) => getComputedStyle(one).borderTopWidth));
  check('forced colours: every control keeps an edge', edges.length > 2 && edges.every((width) => parseFloat(width) >= 1), edges.join(' '));
  await page.browserContext().close();
}

async function main() {
  const browser = await launch('chromium', { language: 'en', microphone: voice() });
  await byKeyboard(browser);
  await otherEyes(browser);
  await largeText(browser, 'en');
  const japanese = await launch('chromium', { language: 'ja' });
  await largeText(japanese, 'ja');
}

await run(main, 120_000);
