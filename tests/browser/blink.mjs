#!/usr/bin/env node
// A line that really goes away: the cable of one browser is pulled for some seconds (cable.mjs). Everybody must come back
// without touching anything.
import { readFileSync } from 'node:fs';
import { far, lay, near, plug, pull, serve } from './cable.mjs';
import { check, run, seconds, shot, sleep, until } from './kit.mjs';
import { isLive, line, moves, seat, seats } from './room.mjs';

const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));

async function main() {
  lay();
  const links = await serve();
  const here = await near(links.host, names[3], 'green');
  const there = await far(links.guest, names[4], 'blue');
  const both = async (ms) => await moves(here.page, there.name, ms) && await moves(there.page, here.name, ms);
  check('before: pictures go both ways', await until(() => both(2000), 15_000) !== null);

  for (const gone of [2, 8, 25]) {
    pull();
    await sleep(gone * 1000);
    const told = await line(there.page);
    if (gone === 8) await shot(there.page, 'blink-away');
    const still = (await seats(here.page)).filter((one) => one.name === there.name);
    plug();
    const back = await until(() => isLive(there.page), 40_000);
    const flows = await until(() => both(1500), 20_000);
    check(`cable out for ${gone} s: back by itself`, back !== null && flows !== null,
      `line "${told}", live after ${seconds(back)}, pictures after ${seconds(back + flows)}`);
    const seatsNow = (await seats(here.page)).filter((one) => one.name === there.name).length;
    check(`cable out for ${gone} s: one seat, not two`, seatsNow === 1, `${still.length} meanwhile, ${seatsNow} after`);
    const now = await seat(here.page, there.name);
    check(`cable out for ${gone} s: the seat is not shown as away any more`, now && !now.gone);
  }
}

await run(main, 240_000);
