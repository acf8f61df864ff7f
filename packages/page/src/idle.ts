/**
 * The idle guard: a page that hears nothing for a while looks for itself.
 *
 * Owns the period. Must never fire while events arrive, nor in a tab that nobody sees: that one
 * refreshes when it is seen again.
 */

/** Seconds without events, where neither page nor hub say otherwise. */
export const DEFAULT_IDLE_S = 30;
/** Shorter periods would be polling. */
export const LEAST_IDLE_S = 5;

/** The period that is meant by what a page or a hub gave; `undefined` when that is no number. */
export function idleSeconds(given: unknown): number | undefined {
  const seconds = typeof given === "string" ? Number.parseFloat(given) : given;
  if (typeof seconds !== "number" || !Number.isFinite(seconds) || seconds <= 0) return undefined;
  return Math.max(LEAST_IDLE_S, seconds);
}

/** One guard of a page. */
export class IdleGuard {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private quietSince = Date.now();

  constructor(
    private readonly fire: () => void,
    private readonly asleep: () => boolean,
    private periodMs: number,
  ) {
    this.watch();
  }

  /** Something happened: the period starts anew. */
  touch(): void {
    this.quietSince = Date.now();
  }

  /** Sets another period; the running one counts on. */
  setPeriod(seconds: number): void {
    this.periodMs = seconds * 1000;
    this.watch();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private watch(): void {
    clearTimeout(this.timer);
    const checkMs = Math.max(1000, Math.min(5000, this.periodMs / 3));
    const leftMs = this.quietSince + this.periodMs - Date.now();
    this.timer = setTimeout(() => this.check(), Math.max(0, Math.min(checkMs, leftMs)));
    // Node keeps a process alive for a timer; a page client must not.
    (this.timer as { unref?: () => void }).unref?.();
  }

  private check(): void {
    if (Date.now() - this.quietSince >= this.periodMs) {
      this.touch();
      if (!this.asleep()) this.fire();
    }
    this.watch();
  }
}
