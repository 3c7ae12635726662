// Whether two pictures of a screen show the same, judged in cells of a few points so that a grain of noise is nothing and a
// button that moved is something. Owns the measures; knows no file and no screen. Runs inside a browser, which reads the
// pictures anyway.

/** Points on a side of one cell. */
const CELL = 8;
/** How far, of 255, a cell's mean may be off in one colour: kept pictures are WebP, which is off by up to 3. */
const NOISE = 10;
/** Where the words are drawn by another font or browser, text covers other cells: judged in larger ones, by what catches the eye. */
const BROAD_CELL = 40;
const BROAD_NOISE = 32;

/** Of all cells, those that may differ. One icon on a phone is 0.15 % of them; a machine under load has made 0.02 %. */
export const SAME_MAX = 0.001;
/** With other fonts or another browser, in broad cells. A serif font in place of the usual one: 0; a panel more: 0.25. */
export const ALIKE_MAX = 0.08;

/**
 * The shares of cells that differ, fine and broad, and a picture of where. `one` and `other` are data URLs. Pictures of
 * different sizes differ everywhere.
 */
export function compare(judge, one, other) {
  return judge.evaluate(async (urls, cell, noise, broadCell, broadNoise) => {
    const [before, now] = await Promise.all(urls.map(async (url) => {
      const image = await createImageBitmap(await (await fetch(url)).blob());
      const canvas = new OffscreenCanvas(image.width, image.height);
      const pen = canvas.getContext('2d', { willReadFrequently: true });
      pen.drawImage(image, 0, 0);
      return { width: image.width, height: image.height, canvas, pen, points: pen.getImageData(0, 0, image.width, image.height).data };
    }));
    if (before.width !== now.width || before.height !== now.height) return { fine: 1, broad: 1, where: null };
    const { width, height } = now;
    const meanOf = ({ points }, left, top, size) => {
      const sum = [0, 0, 0];
      const [right, bottom] = [Math.min(left + size, width), Math.min(top + size, height)];
      for (let y = top; y < bottom; y++) {
        for (let at = (y * width + left) * 4; at < (y * width + right) * 4; at += 4) {
          for (let colour = 0; colour < 3; colour++) sum[colour] += points[at + colour];
        }
      }
      return sum.map((value) => value / ((right - left) * (bottom - top)));
    };
    const differing = (size, most) => {
      const cells = [];
      let all = 0;
      for (let top = 0; top < height; top += size) {
        for (let left = 0; left < width; left += size) {
          all += 1;
          const [old, fresh] = [meanOf(before, left, top, size), meanOf(now, left, top, size)];
          if (old.some((value, colour) => Math.abs(value - fresh[colour]) > most)) cells.push([left, top]);
        }
      }
      return { share: cells.length / all, cells };
    };
    const fine = differing(cell, noise);
    now.pen.fillStyle = 'rgba(255, 0, 80, 0.45)';
    for (const [left, top] of fine.cells) now.pen.fillRect(left, top, cell, cell);
    const marked = new Uint8Array(await (await now.canvas.convertToBlob({ type: 'image/png' })).arrayBuffer());
    let where = '';
    for (let at = 0; at < marked.length; at += 8192) where += String.fromCharCode(...marked.subarray(at, at + 8192));
    return { fine: fine.share, broad: differing(broadCell, broadNoise).share, where: btoa(where) };
  }, [one, other], CELL, NOISE, BROAD_CELL, BROAD_NOISE);
}

/** Says the same wherever the same words are drawn the same way: a sum over some words as this browser draws them. */
export function handwriting(page) {
  return page.evaluate(async () => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [600, 60];
    const pen = canvas.getContext('2d');
    pen.font = `20px ${getComputedStyle(document.body).fontFamily}`;
    pen.fillText('円になって話す Sitting in a circle 0123', 4, 40);
    // Not crypto.subtle: it may be missing on a plain address.
    let sum = 2_166_136_261;
    for (const value of pen.getImageData(0, 0, 600, 60).data) sum = Math.imul(sum ^ value, 16_777_619) >>> 0;
    return sum.toString(16);
  });
}
