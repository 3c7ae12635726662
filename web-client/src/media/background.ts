/**
 * Another background behind one's own picture: blurred, or one plain colour. Cuts the person out with MediaPipe's selfie
 * segmentation, which is loaded from our own server when it is chosen and runs on this device alone. Owns the engine and
 * the drawn picture. When it cannot go on it shows the plain colour alone, never the room.
 */

import type { SelfieSegmentation } from '@mediapipe/selfie_segmentation';
import script from '@mediapipe/selfie_segmentation/selfie_segmentation.js?url';
import graph from '@mediapipe/selfie_segmentation/selfie_segmentation.binarypb?url';
import square from '@mediapipe/selfie_segmentation/selfie_segmentation.tflite?url';
import landscape from '@mediapipe/selfie_segmentation/selfie_segmentation_landscape.tflite?url';
import data from '@mediapipe/selfie_segmentation/selfie_segmentation_solution_simd_wasm_bin.data?url';
import loader from '@mediapipe/selfie_segmentation/selfie_segmentation_solution_simd_wasm_bin.js?url';
import wasm from '@mediapipe/selfie_segmentation/selfie_segmentation_solution_simd_wasm_bin.wasm?url';
import type { Track, TrackProcessor, VideoProcessorOptions } from 'livekit-client';
import type { Backdrop } from '../circle/settings';
import { BackgroundError } from './devices';

const FILES: Readonly<Record<string, string>> = {
  'selfie_segmentation.binarypb': graph,
  'selfie_segmentation.tflite': square,
  'selfie_segmentation_landscape.tflite': landscape,
  'selfie_segmentation_solution_simd_wasm_bin.data': data,
  'selfie_segmentation_solution_simd_wasm_bin.js': loader,
  'selfie_segmentation_solution_simd_wasm_bin.wasm': wasm,
};

/** Pictures a second. Higher: smoother, and hot phones; lower: hands leave a trail. */
const RATE = 20;
/** Longest wait for the engine, and for its first picture. Higher leaves people before a dark disc. */
const READY_WITHIN_MS = 20_000;
/** The blurred picture is drawn this many times smaller and then stretched: works in every browser, and costs nothing. */
const BLUR = 28;

/** The colours of the plain backgrounds; also what is seen when nothing else may be. */
const COLOURS: Readonly<Record<Backdrop, string>> = { blur: '#d8cfbd', paper: '#ece5d6', moss: '#6f8058', indigo: '#5b6796' };

/** One per page: its memory is large, and only one own picture is drawn at a time. */
let engine: Promise<SelfieSegmentation> | null = null;

function startEngine(): Promise<SelfieSegmentation> {
  engine ??= load().catch((error: unknown) => {
    engine = null;
    throw error;
  });
  return engine;
}

/** Without WebGL 2 the engine does not fail: it stands still, and the page with it. So it is not begun. */
function canCutOut(): boolean {
  const context = document.createElement('canvas').getContext('webgl2');
  context?.getExtension('WEBGL_lose_context')?.loseContext();
  return context !== null;
}

async function load(): Promise<SelfieSegmentation> {
  if (!canCutOut()) throw new Error('there is no WebGL 2');
  await new Promise<void>((loaded, failed) => {
    const element = document.createElement('script');
    element.src = script;
    element.onload = () => {
      loaded();
    };
    element.onerror = () => {
      failed(new Error('the engine did not load'));
    };
    document.head.append(element);
  });
  // The package is a script of the old kind: it leaves its class on the window.
  const { SelfieSegmentation: Engine } = window as unknown as { SelfieSegmentation: typeof SelfieSegmentation };
  const made = new Engine({ locateFile: (name) => FILES[name] ?? name });
  await within(made.initialize());
  return made;
}

function within<T>(work: Promise<T>): Promise<T> {
  return new Promise((done, failed) => {
    const timer = setTimeout(() => {
      failed(new Error('the engine did not answer in time'));
    }, READY_WITHIN_MS);
    work
      .finally(() => {
        clearTimeout(timer);
      })
      .then(done, failed);
  });
}

export class Background implements TrackProcessor<Track.Kind.Video> {
  readonly name = 'background';
  /** What is drawn, for the others and for oneself. */
  readonly processedTrack: MediaStreamTrack;
  readonly #canvas = document.createElement('canvas');
  readonly #small = document.createElement('canvas');
  readonly #video = document.createElement('video');
  readonly #failed: () => void;
  #backdrop: Backdrop;
  #track: MediaStreamTrack | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #over = false;

  /** `failed` is called once, after `init`, when no picture can be made any more. */
  constructor(backdrop: Backdrop, failed: () => void) {
    this.#backdrop = backdrop;
    this.#failed = failed;
    this.#video.muted = true;
    this.#video.playsInline = true;
    this.#cover();
    const [drawn] = this.#canvas.captureStream(RATE).getVideoTracks();
    if (drawn === undefined) throw new BackgroundError('no picture can be drawn');
    this.processedTrack = drawn;
  }

  /** The camera's own track, which outlives this. */
  get source(): MediaStreamTrack | null {
    return this.#track;
  }

  show(backdrop: Backdrop): void {
    this.#backdrop = backdrop;
  }

  /** Rejects, and lets the camera go, when there can be no such picture here. */
  async init({ track }: Pick<VideoProcessorOptions, 'track'>): Promise<void> {
    const { width = 640, height = 360 } = track.getSettings();
    this.#size(width, height);
    this.#cover();
    this.#follow(track);
    try {
      const segmentation = await startEngine();
      if (!this.#over) this.#go(segmentation);
    } catch (error) {
      // Given up meanwhile, the camera goes on as it is.
      if (!this.#over) track.stop();
      await this.destroy();
      throw new BackgroundError('no background', { cause: error });
    }
  }

  restart({ track }: Pick<VideoProcessorOptions, 'track'>): Promise<void> {
    this.#follow(track);
    return Promise.resolve();
  }

  destroy(): Promise<void> {
    this.#over = true;
    clearTimeout(this.#timer);
    this.processedTrack.stop();
    this.#video.srcObject = null;
    return Promise.resolve();
  }

  #follow(track: MediaStreamTrack): void {
    this.#track = track;
    this.#video.srcObject = new MediaStream([track]);
    this.#video.play().catch(() => undefined);
  }

  #size(width: number, height: number): void {
    if (this.#canvas.width === width && this.#canvas.height === height) return;
    Object.assign(this.#canvas, { width, height });
    Object.assign(this.#small, { width: Math.ceil(width / BLUR), height: Math.ceil(height / BLUR) });
  }

  /** Nothing but the colour. */
  #cover(): void {
    const pen = this.#canvas.getContext('2d');
    if (pen === null) return;
    pen.globalCompositeOperation = 'source-over';
    pen.fillStyle = COLOURS[this.#backdrop];
    pen.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  #go(segmentation: SelfieSegmentation): void {
    const turn = (): void => {
      const began = performance.now();
      this.#frame(segmentation).then(
        () => {
          if (this.#over) return;
          this.#timer = setTimeout(turn, Math.max(0, 1000 / RATE - (performance.now() - began)));
        },
        () => {
          if (this.#over) return;
          this.#cover();
          // It is in an unknown state: the next one starts afresh.
          engine = null;
          this.#failed();
        },
      );
    };
    turn();
  }

  async #frame(segmentation: SelfieSegmentation): Promise<void> {
    const video = this.#video;
    const { videoWidth, videoHeight } = video;
    // The camera rests, or its first picture has not come.
    if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || videoWidth === 0) return;
    this.#size(videoWidth, videoHeight);
    segmentation.setOptions({ modelSelection: videoWidth > videoHeight ? 1 : 0 });
    segmentation.onResults(({ image, segmentationMask }) => {
      if (!this.#over) this.#draw(image, segmentationMask);
    });
    await within(segmentation.send({ image: video }));
  }

  #draw(image: CanvasImageSource, person: CanvasImageSource): void {
    const pen = this.#canvas.getContext('2d');
    const brush = this.#small.getContext('2d');
    if (pen === null || brush === null) return;
    const { width, height } = this.#canvas;
    pen.globalCompositeOperation = 'copy';
    pen.drawImage(person, 0, 0, width, height);
    pen.globalCompositeOperation = 'source-in';
    pen.drawImage(image, 0, 0, width, height);
    pen.globalCompositeOperation = 'destination-over';
    if (this.#backdrop === 'blur') {
      brush.drawImage(image, 0, 0, this.#small.width, this.#small.height);
      pen.imageSmoothingQuality = 'high';
      pen.drawImage(this.#small, 0, 0, width, height);
    } else {
      pen.fillStyle = COLOURS[this.#backdrop];
      pen.fillRect(0, 0, width, height);
    }
  }
}
