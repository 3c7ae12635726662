// Pictures for the fake camera of one Chromium: a clip in one colour, so that a test can see whose picture it looks at.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [WIDTH, HEIGHT, FRAMES] = [640, 360, 15];

/** Y, U, V of the clips (BT.601, limited range). */
const colours = { red: [90, 90, 220], blue: [80, 220, 100], green: [120, 70, 70] };

const folder = mkdtempSync(join(tmpdir(), 'enza-camera-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Writes the clip and returns its path: one colour with a bright bar that wanders, so that frames differ. */
export function clip(colour) {
  const [y, u, v] = colours[colour];
  const parts = [Buffer.from(`YUV4MPEG2 W${WIDTH} H${HEIGHT} F15:1 Ip A1:1 C420jpeg\n`)];
  for (let frame = 0; frame < FRAMES; frame++) {
    const luma = Buffer.alloc(WIDTH * HEIGHT, y);
    const bar = Math.floor((frame * WIDTH) / FRAMES);
    for (let line = 0; line < 40; line++) luma.fill(y + 60, line * WIDTH + bar, line * WIDTH + Math.min(bar + 40, WIDTH));
    const quarter = (WIDTH * HEIGHT) / 4;
    parts.push(Buffer.from('FRAME\n'), luma, Buffer.alloc(quarter, u), Buffer.alloc(quarter, v));
  }
  const path = join(folder, `${colour}.y4m`);
  writeFileSync(path, Buffer.concat(parts));
  return path;
}

/** Which of the clips an RGB value is from, or `null`. */
export function colourOf([r, g, b]) {
  if (r > g + 40 && r > b + 40) return 'red';
  if (b > r + 40 && b > g + 40) return 'blue';
  if (g > r + 40 && g > b + 40) return 'green';
  return null;
}
