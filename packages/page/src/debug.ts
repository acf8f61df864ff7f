/**
 * What the page client tells whoever debugs a page.
 *
 * Owns the switch `__syncDebug` and the wording's prefix. Must never log without the switch, except
 * what a callback of the page throws.
 */

interface Switched {
  __syncDebug?: boolean;
}

const page = (typeof window === "undefined" ? globalThis : window) as Switched;

/** Turns the log on or off; the same as setting `window.__syncDebug`. */
export function setDebug(on: boolean): void {
  page.__syncDebug = on;
}

/** Writes a line when `window.__syncDebug` is set. */
export function debug(...words: unknown[]): void {
  if (page.__syncDebug) console.log("[sync]", ...words);
}

/** Calls what the page gave; one bad callback must not keep others from being called. */
export function guarded<A extends unknown[]>(what: string, callback: (...given: A) => unknown, ...given: A): unknown {
  const failed = (error: unknown) => console.error(`[sync] ${what} failed:`, error);
  try {
    const result = callback(...given);
    return result instanceof Promise ? result.catch(failed) : result;
  } catch (error) {
    failed(error);
    return undefined;
  }
}
