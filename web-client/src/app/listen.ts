/** Hears an event of window or document until the returned function is called. */
export function listenTo<K extends keyof WindowEventMap>(
  target: Window,
  type: K,
  heard: (event: WindowEventMap[K]) => void,
): () => void;
export function listenTo<K extends keyof DocumentEventMap>(
  target: Document,
  type: K,
  heard: (event: DocumentEventMap[K]) => void,
): () => void;
export function listenTo(target: EventTarget, type: string, heard: (event: never) => void): () => void {
  const listener = heard as (event: Event) => void;
  target.addEventListener(type, listener);
  return () => {
    target.removeEventListener(type, listener);
  };
}
