/**
 * Keeps the screen awake while somebody sits in the room: a phone that sleeps drops the call.
 */

export function keepAwake(): () => void {
  let lock: WakeLockSentinel | null = null;
  let over = false;
  const ask = async (): Promise<void> => {
    if (over || document.visibilityState !== 'visible' || !('wakeLock' in navigator)) return;
    try {
      const granted = await navigator.wakeLock.request('screen');
      // The compiler cannot see that leaving may happen during the wait.
      if (over as boolean) await granted.release();
      else lock = granted;
    } catch {
      // Low battery or a browser's own rule: the room works all the same.
    }
  };
  // The browser lets go whenever the page is hidden.
  const again = (): void => {
    void ask();
  };
  document.addEventListener('visibilitychange', again);
  void ask();
  return () => {
    over = true;
    document.removeEventListener('visibilitychange', again);
    void lock?.release().catch(() => undefined);
  };
}
