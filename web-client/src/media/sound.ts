/**
 * Small sound work done in the browser itself: the level of a microphone and the test bell.
 * Nothing here is fetched and nothing leaves the page.
 */

/** Readings per second: smooth enough for a line, cheap enough for an old phone. */
const READINGS_PER_SECOND = 15;

/** Loudness of a block of samples as 0 (silence) to 1 (loud voice near the microphone). */
export function levelOf(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const decibels = 10 * Math.log10(sum / Math.max(1, samples.length) + 1e-10);
  return Math.min(1, Math.max(0, (decibels + 60) / 48));
}

/** Reports the level of a track until the returned function is called. */
export function watchLevel(track: MediaStreamTrack, report: (level: number) => void): () => void {
  const context = new AudioContext();
  const source = context.createMediaStreamSource(new MediaStream([track]));
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  let shown = 0;
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const level = track.enabled ? levelOf(samples) : 0;
    // Quick up, slow down: a needle, not a flicker.
    shown = level > shown ? level : shown * 0.8 + level * 0.2;
    report(shown);
  }, 1000 / READINGS_PER_SECOND);
  // Before the first press on the page the context sleeps; the press wakes it.
  const wake = (): void => {
    void context.resume();
  };
  document.addEventListener('pointerdown', wake);
  document.addEventListener('keydown', wake);
  return () => {
    clearInterval(timer);
    document.removeEventListener('pointerdown', wake);
    document.removeEventListener('keydown', wake);
    source.disconnect();
    void context.close();
  };
}

/** Partials of a rin, the bowl bell: ratio to the ground tone, share, seconds until it has faded. */
const RIN = [
  { ratio: 1, gain: 0.6, fade: 2.6 },
  { ratio: 2.71, gain: 0.3, fade: 1.6 },
  { ratio: 5.15, gain: 0.12, fade: 0.8 },
] as const;

/** One soft bell on the chosen speaker, quiet enough for earphones. */
export async function ringBell(speakerId: string | null): Promise<void> {
  const context = new AudioContext();
  const out = context.createMediaStreamDestination();
  const now = context.currentTime;
  for (const { ratio, gain, fade } of RIN) {
    const tone = context.createOscillator();
    const loudness = context.createGain();
    tone.frequency.value = 528 * ratio;
    loudness.gain.setValueAtTime(0, now);
    loudness.gain.linearRampToValueAtTime(gain * 0.16, now + 0.012);
    loudness.gain.exponentialRampToValueAtTime(0.0001, now + fade);
    tone.connect(loudness).connect(out);
    tone.start(now);
    tone.stop(now + fade);
  }
  // Through an element, because elements, unlike contexts, can choose their speaker in every browser that can at all.
  const element = new Audio();
  element.srcObject = out.stream;
  if (speakerId !== null && 'setSinkId' in element) await element.setSinkId(speakerId).catch(() => undefined);
  setTimeout(() => {
    element.srcObject = null;
    void context.close();
  }, 3_000);
  await element.play();
}
