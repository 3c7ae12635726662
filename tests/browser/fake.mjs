// What the fake camera and microphone of one Chromium deliver: a clip in one colour, so that a test can see whose
// picture it looks at, and a sound that passes for a voice.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [WIDTH, HEIGHT, FRAMES] = [640, 360, 15];

/** Y, U, V of the clips (BT.601, limited range). */
const colours = { red: [90, 90, 220], blue: [80, 220, 100], green: [120, 70, 70] };

const folder = mkdtempSync(join(tmpdir(), 'enza-fake-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Adds light and dark spots to a picture, other ones each time: as many bits to encode as a living room. */
function speckle(luma, frame) {
  const size = 8;
  let state = 2_463_534_242 + frame;
  for (let top = 0; top < HEIGHT; top += size) {
    for (let left = 0; left < WIDTH; left += size) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      const by = (state & 31) - 16;
      for (let line = top; line < Math.min(top + size, HEIGHT); line++) {
        for (let at = line * WIDTH + left; at < line * WIDTH + left + size; at++) luma[at] += by;
      }
    }
  }
}

/**
 * Writes the clip and returns its path: one colour with a bright bar that wanders, so that frames differ. `speckled`
 * pictures take the bit rate that people's do; plain ones take next to none.
 */
export function clip(colour, speckled = false) {
  const [y, u, v] = colours[colour];
  const parts = [Buffer.from(`YUV4MPEG2 W${WIDTH} H${HEIGHT} F15:1 Ip A1:1 C420jpeg\n`)];
  for (let frame = 0; frame < FRAMES; frame++) {
    const luma = Buffer.alloc(WIDTH * HEIGHT, y);
    const bar = Math.floor((frame * WIDTH) / FRAMES);
    for (let line = 0; line < 40; line++) luma.fill(y + 60, line * WIDTH + bar, line * WIDTH + Math.min(bar + 40, WIDTH));
    if (speckled) speckle(luma, frame);
    const quarter = (WIDTH * HEIGHT) / 4;
    parts.push(Buffer.from('FRAME\n'), luma, Buffer.alloc(quarter, u), Buffer.alloc(quarter, v));
  }
  const path = join(folder, `${colour}${speckled ? '-speckled' : ''}.y4m`);
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

const RATE = 48_000;

/** Writes four seconds of syllables on a wandering pitch and returns the path. Chromium plays it again and again. */
export function voice() {
  const samples = new Int16Array(RATE * 4);
  let phase = 0;
  for (let i = 0; i < samples.length; i++) {
    const at = i / RATE;
    phase += (2 * Math.PI * (150 + 40 * Math.sin(2 * Math.PI * 0.7 * at))) / RATE;
    const syllable = Math.max(0, Math.sin(2 * Math.PI * 3 * at)) ** 0.5;
    let wave = 0;
    for (let harmonic = 1; harmonic <= 12; harmonic++) wave += Math.sin(harmonic * phase) / harmonic;
    samples[i] = 9000 * syllable * wave * 0.6;
  }
  const header = Buffer.alloc(44);
  header.write('RIFF', 0);
  header.writeUInt32LE(36 + samples.byteLength, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20); // PCM
  header.writeUInt16LE(1, 22); // mono
  header.writeUInt32LE(RATE, 24);
  header.writeUInt32LE(RATE * 2, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write('data', 36);
  header.writeUInt32LE(samples.byteLength, 40);
  const path = join(folder, 'voice.wav');
  writeFileSync(path, Buffer.concat([header, Buffer.from(samples.buffer)]));
  return path;
}
