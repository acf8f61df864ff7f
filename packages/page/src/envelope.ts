/**
 * What an event says: the envelope, its place in time, and what has been seen before.
 *
 * Owns order and repeats. Must never hold an event back: clocks of machines differ, so an older
 * number may still be news.
 */

/** What became of an item, as the hub and its applications name it. Other words may come. */
export type Reason = "added" | "updated" | "deleted" | "toggled" | (string & {});

/** The payload of an event. All six fields are always there when the event comes from a hub. */
export interface Envelope {
  reason: Reason;
  /** Milliseconds since 1970, strictly increasing for one worker. */
  seq: number;
  /** The process that emitted it. */
  worker: number;
  /** `global`, or `room:<name>`. */
  scope: string;
  /** The item that changed; `null` where no single one did. */
  id: string | number | null;
  /** Whatever the sender added; `{soft: true, source}` when another event made this one. */
  data: unknown;
}

/** Orders two events: by `seq`, then by `worker`. Negative when `a` comes first. */
export function compareEvents(a: Envelope, b: Envelope): number {
  return a.seq - b.seq || a.worker - b.worker;
}

/** The room that an envelope was sent to; `null` for a global or foreign one. */
export function roomOf(envelope: Envelope): string | null {
  const scope = typeof envelope.scope === "string" ? envelope.scope : "";
  return scope.startsWith("room:") ? scope.slice("room:".length) : null;
}

/** Whether a payload can be placed in time at all; back ends of one's own may send anything. */
export function isEnvelope(payload: unknown): payload is Envelope {
  const fields = payload as Partial<Envelope> | null | undefined;
  return typeof fields === "object" && fields !== null && typeof fields.seq === "number";
}

/** Repeats and late arrivals among the newest events. */
export class Seen {
  private readonly repeats = new Recent<true>(512);
  private readonly newest = new Recent<Envelope>(1024);

  /**
   * Whether an event is a repeat, or late: something newer about the same item came before it.
   * Scope takes no part, because some back ends send one event globally and again to its room.
   */
  note(event: string, envelope: Envelope): { repeat: boolean; late: boolean } {
    const item = JSON.stringify([event, envelope.id ?? null]);
    const key = JSON.stringify([item, envelope.reason, envelope.seq, envelope.worker]);
    if (this.repeats.get(key)) return { repeat: true, late: false };
    this.repeats.set(key, true);
    const before = this.newest.get(item);
    const late = before !== undefined && compareEvents(envelope, before) < 0;
    if (!late) this.newest.set(item, envelope);
    return { repeat: false, late };
  }
}

/** A map that forgets its oldest entries. */
class Recent<T> {
  private readonly entries = new Map<string, T>();

  constructor(private readonly limit: number) {}

  get(key: string): T | undefined {
    return this.entries.get(key);
  }

  set(key: string, value: T): void {
    this.entries.delete(key);
    this.entries.set(key, value);
    if (this.entries.size <= this.limit) return;
    for (const oldest of this.entries.keys()) {
      this.entries.delete(oldest);
      return;
    }
  }
}
