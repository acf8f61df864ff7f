/**
 * Many calls, one run.
 *
 * Owns the timer. Must never run a function twice at the same time: a call that comes while it
 * runs leads to one more run after it.
 */

import { guarded } from "./debug.js";

/** A function that waits until its calls pause. */
export interface Debounced<T> {
  (item?: T): void;
  /** Forgets a run that waits. */
  cancel(): void;
}

/**
 * Gathers calls until none came for `waitMs`, but for no longer than five times that, then calls
 * `run` once with everything that was handed in.
 */
export function gather<T>(run: (items: T[]) => unknown, waitMs: number): Debounced<T> {
  let items: T[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let firstAt = 0;
  let running = false;
  let again = false;

  async function fire(): Promise<void> {
    timer = undefined;
    if (running) {
      again = true;
      return;
    }
    running = true;
    const batch = items;
    items = [];
    await guarded("a debounced callback", run, batch);
    running = false;
    if (again) {
      again = false;
      void fire();
    }
  }

  const call = (item?: T) => {
    if (item !== undefined) items.push(item);
    const now = Date.now();
    if (timer === undefined) firstAt = now;
    else clearTimeout(timer);
    timer = setTimeout(() => void fire(), Math.max(0, Math.min(waitMs, firstAt + 5 * waitMs - now)));
  };
  call.cancel = () => {
    clearTimeout(timer);
    timer = undefined;
    items = [];
    again = false;
  };
  return call;
}
