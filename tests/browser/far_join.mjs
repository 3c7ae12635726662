#!/usr/bin/env node
// How long joining takes over a long way (50 ms there and back): from the press on "Enter the room" to the first sound and
// the first decoded frame of somebody else, over HTTPS as in earnest. Prints p50 and p95. `node far_join.mjs [RUNS] [MS THERE AND BACK]`
import { readFileSync } from 'node:fs';
import { farBrowser, layLong, near, serve } from './cable.mjs';
import { check, DESK, openPage, percentile, run, until } from './kit.mjs';
import { enter, openLink, press, seat, stopwatch } from './room.mjs';

const [runs, trip] = [Number(process.argv[2] ?? 10), Number(process.argv[3] ?? 50)];
const names = JSON.parse(readFileSync(new URL('people.json', import.meta.url)));

/** Runs in the page after the stopwatch: notes the steps of the way in `window.marks`, and when the first sound came. */
function steps() {
  const watch = window.stopwatch;
  watch.sound = null;
  const marks = [];
  window.marks = marks;
  const mark = (what) => { marks.push([what, performance.now()]); };
  const { fetch, WebSocket, RTCPeerConnection } = window;
  window.fetch = async (...args) => {
    mark(`asks ${new URL(args[0].url ?? args[0], location.href).pathname}`);
    const answer = await fetch(...args);
    mark(`answer ${answer.status}`);
    return answer;
  };
  window.WebSocket = class extends WebSocket {
    constructor(...args) {
      super(...args);
      const path = new URL(args[0]).pathname;
      mark(`dials ${path}`);
      this.addEventListener('open', () => mark(`open ${path}`));
      let first = true;
      this.addEventListener('message', () => { if (first) mark(`first message ${path}`); first = false; });
    }
  };
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...args) {
      super(...args);
      mark('peer connection');
      for (const state of ['signalingState', 'iceConnectionState', 'connectionState']) {
        this.addEventListener(`${state.toLowerCase()}change`, () => mark(`${state} ${this[state]}`));
      }
      const listen = async () => {
        if (watch.sound !== null || this.connectionState === 'closed') return;
        for (const entry of (await this.getStats()).values()) {
          if (entry.type === 'inbound-rtp' && entry.kind === 'audio' && entry.packetsReceived > 0) {
            watch.sound ??= performance.now();
          }
        }
        setTimeout(listen, 5);
      };
      listen();
    }
  };
}

async function main() {
  await layLong({ delay: trip / 2 });
  const links = await serve(true);
  const host = await near(links.host, names[3], 'green');
  const browser = await farBrowser('red');
  const [sounds, frames] = [[], []];
  for (let turn = 0; turn < runs; turn++) {
    const page = await openPage(browser, DESK);
    await page.evaluateOnNewDocument(stopwatch);
    await page.evaluateOnNewDocument(steps);
    await openLink(page, links.guest, names[4]);
    await enter(page, false);
    const came = await until(() => page.evaluate(() => window.stopwatch.frame !== null && window.stopwatch.sound !== null), 20_000);
    if (came !== null) {
      const { pressed, sound, frame } = await page.evaluate(() => window.stopwatch);
      sounds.push(sound - pressed);
      frames.push(frame - pressed);
      if (turn === runs - 1) {
        const marks = await page.evaluate(() => window.marks);
        for (const [what, at] of marks.filter(([, at]) => at >= pressed - 1 && at <= frame)) {
          console.log(`${String(Math.round(at - pressed)).padStart(6)} ms  ${what}`);
        }
      }
    }
    await press(page, 'leave');
    await until(async () => !(await seat(host.page, names[4])), 8000);
    await page.browserContext().close();
  }
  check(`each of ${runs} joins brings the other's sound and picture`, frames.length === runs, `${frames.length}`);
  for (const [what, times] of [['sound packet', sounds], ['decoded frame', frames]]) {
    times.sort((a, b) => a - b);
    const [p50, p95] = [percentile(times, 0.5), percentile(times, 0.95)].map(Math.round);
    console.log(`join time at ${trip} ms there and back, press to first ${what}, ${times.length} runs: p50 ${p50} ms, p95 ${p95} ms`);
  }
}

await run(main, 60_000 + runs * 20_000);
