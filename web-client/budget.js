// The built page against its limits: what the first page loads before anybody presses anything, and everything together.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

/** Kilobytes (1000 bytes), compressed. On a slow phone line (1.6 Mbit/s) the first page is there in 0.3 s. */
const FIRST_PAGE_MAX = 60;
const EVERYTHING_MAX = 350;

const dist = join(import.meta.dirname, 'dist');
const sizes = new Map(
  readdirSync(dist, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => [path.slice(dist.length + 1), gzipSync(readFileSync(path), { level: 9 }).length / 1000]),
);
const sum = (names) => names.reduce((total, name) => total + (sizes.get(name) ?? 0), 0);

const page = readFileSync(join(dist, 'index.html'), 'utf8');
// Scripts and style sheets that the page itself names, also as preloads; the rest is asked for later.
const named = [...page.matchAll(/(?:src|href)="\/(assets\/[^"]+\.(?:js|css))"/g)].map((match) => match[1]);
// One of the languages comes with it.
const language = Math.max(...[...sizes].map(([name, size]) => (/^assets\/(?:en|ja)-/.test(name) ? size : 0)));
if (language === 0) throw new Error('there is no file of a language');
if (named.length < 2) throw new Error('index.html names no script and style sheet');
const results = [
  ['the first page', sum(['index.html', ...named]) + language, FIRST_PAGE_MAX],
  // Backgrounds are fetched only when chosen.
  ['everything', sum([...sizes.keys()].filter((name) => !name.includes('background'))), EVERYTHING_MAX],
];
for (const [what, size, most] of results) {
  console.log(`${size <= most ? 'pass' : 'FAIL'}  ${what}: ${size.toFixed(1)} kB compressed, at most ${most}`);
}
const failed = results.filter(([, size, most]) => size > most).length;
console.log(`${results.length - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
