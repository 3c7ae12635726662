// What axe finds on the page as it stands, each as one line.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { check, shot, sleep } from './kit.mjs';

const source = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export async function violations(page) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(source);
  // Its own choice of rules: WCAG A and AA, and best practices.
  const { violations: found } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return found.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.target.join(' ')).join(', ')}`);
}

/** No finding, whatever its weight, once the screen stands still; a picture of it is kept as `${of}-${name}`. */
export async function isAccessible(page, of, name) {
  await sleep(250);
  const found = await violations(page);
  check(`axe: ${name}`, found.length === 0, found.join(' | '));
  await shot(page, `${of}-${name.replaceAll(' ', '-')}`);
}
