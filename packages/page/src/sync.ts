/**
 * The page client: rooms, events, soft refresh, idle guard.
 *
 * Owns what a page asked for, and sees to it across connections. Must never hold data of the page:
 * an event says that something changed, and the page fetches it.
 */

import { debug, guarded, setDebug } from "./debug.js";
import { type Debounced, gather } from "./debounce.js";
import { compareEvents, type Envelope, isEnvelope, roomOf, Seen } from "./envelope.js";
import { DEFAULT_IDLE_S, IdleGuard, idleSeconds } from "./idle.js";
import { type ConnectionState, credentials, type Io, Link, type LinkOptions, origin } from "./link.js";
import { keepPage } from "./keep.js";
import { hidden, onWake, type ResumeReason } from "./wake.js";
import type { Socket } from "socket.io-client";

/** Settings of a page; all of them may be left out. */
export interface SyncOptions extends LinkOptions {
  /** Seconds of `startIdleGuard` where it is called without; left out: the hub's setting. */
  idleSeconds?: number;
  /** Events that softly refresh the pages of others, for back ends that do not send those themselves. */
  dependencies?: Record<string, string[]>;
}

/** What a callback of `on` is told beside the envelope. */
export interface EventContext {
  /** The event's name. */
  event: string;
  /** Something newer about the same item was told before. Fetching is right all the same; patching from `data` is not. */
  late: boolean;
}

/** Called for each event. Back ends of one's own may send payloads that are no envelope. */
export type EventCallback = (envelope: Envelope, context: EventContext) => unknown;

/**
 * Called once for a burst of events, which come in their order. The list is empty when the page
 * catches up: then anything may have changed.
 */
export type RefreshCallback = (events: Envelope[]) => unknown;

/** As document and hub preset them: what changes a category or a registrator shows in files too. */
export const DEPENDENCIES: Record<string, string[]> = {
  "categories:changed": ["files:changed"],
  "registrators:changed": ["files:changed"],
};

const SOFT_WAIT_MS = 200;
const ANSWER_MS = 2_000;
const SETTINGS_PATH = "/api/sync/rooms";

interface SoftRefresh {
  event: string;
  callback: RefreshCallback;
  schedule: Debounced<Envelope>;
}

/** What a hub answers to the messages about rooms. */
interface Answer {
  success?: boolean;
  error?: string;
  members?: number;
}

interface Guarded {
  refresh: () => unknown;
  guard: IdleGuard;
}

/** One page's connection to its hub. */
export class Sync {
  private options: SyncOptions = {};
  private link: Link | undefined;
  /** An earlier link was up. */
  private wasUp = false;
  private starting = false;
  private readonly rooms = new Map<string, Array<() => void>>();
  private readonly left = new Set<string>();
  private readonly handlers = new Map<string, Set<EventCallback>>();
  private readonly softRefreshes = new Set<SoftRefresh>();
  private readonly resumed = new Set<(reason: ResumeReason) => unknown>();
  private readonly watchers = new Set<(state: ConnectionState) => unknown>();
  private readonly guards = new Set<Guarded>();
  private seen = new Seen();
  private asked: Promise<number | undefined> | undefined;

  constructor(private readonly io: Io) {
    onWake((reason) => this.wake(reason));
  }

  /** Sets options. Called after the page connected, it connects anew with them. */
  init(options: SyncOptions = {}): void {
    this.options = { ...this.options, ...options };
    this.asked = undefined;
    this.hangUp();
    this.seen = new Seen();
    this.start();
  }

  /** Hangs up and stops the idle guards; rooms and callbacks stay, for the next `init`. */
  close(): void {
    this.hangUp();
    for (const entry of this.guards) this.stop(entry);
  }

  /**
   * Asks for the events of a room, now and after each reconnect. The promise resolves when the hub
   * has heard, so that what is fetched after it misses no change; it never rejects.
   */
  joinRoom(room: string): Promise<void> {
    this.left.delete(room);
    const heard = new Promise<void>((resolve) => {
      this.rooms.set(room, [...(this.rooms.get(room) ?? []), resolve]);
    });
    if (this.isConnected()) void this.join(room);
    this.start();
    return heard;
  }

  /** Wants no more events of a room. */
  leaveRoom(room: string): void {
    if (!this.rooms.delete(room)) return;
    // Some back ends know no leaving: what they still send is dropped here.
    this.left.add(room);
    if (this.isConnected()) this.getSocket()?.emit(`${room}:leave`, { ts: Date.now() });
  }

  /** How many connections are in a room, on all workers; `null` when nobody says. */
  presence(room: string): Promise<number | null> {
    return new Promise((resolve) => {
      const told = (late: Error | null, answer?: Answer) => resolve((late ? undefined : answer?.members) ?? null);
      if (this.isConnected()) this.getSocket()?.timeout(ANSWER_MS).emit(`${room}:presence`, {}, told);
      else resolve(null);
    });
  }

  /** Calls `callback` for each event of this name; a second time is the same as once. Returns its `off`. */
  on(event: string, callback: EventCallback): () => void {
    const callbacks = this.handlers.get(event) ?? new Set();
    this.handlers.set(event, callbacks.add(callback));
    this.start();
    return () => this.off(event, callback);
  }

  /** Takes back `on` and `onSoftRefresh`: of one callback, or of all callbacks of the event. */
  off(event: string, callback?: EventCallback | RefreshCallback): void {
    if (callback) this.handlers.get(event)?.delete(callback as EventCallback);
    else this.handlers.delete(event);
    for (const soft of this.softRefreshes) {
      if (soft.event === event && (!callback || soft.callback === callback)) this.drop(soft);
    }
  }

  /** A function that runs once after its calls pause for `waitMs`. */
  debounce(callback: () => unknown, waitMs: number = SOFT_WAIT_MS): Debounced<never> {
    return gather<never>(() => callback(), waitMs);
  }

  /**
   * Refreshes softly: `callback` fetches and shows, once for a burst of events and once when the
   * page catches up, while scroll position, open dialogs, focus, selection and half-typed input
   * are kept. One callback may serve several events: it still runs once. Returns its `off`.
   */
  onSoftRefresh(event: string, callback: RefreshCallback, waitMs: number = SOFT_WAIT_MS): () => void {
    const run = (events: Envelope[]) => {
      debug("soft refresh after", events.length, "events");
      return keepPage(() => callback([...events].sort(compareEvents)));
    };
    const twin = [...this.softRefreshes].find((other) => other.callback === callback);
    const soft: SoftRefresh = { event, callback, schedule: twin?.schedule ?? gather(run, waitMs) };
    this.softRefreshes.add(soft);
    this.start();
    return () => this.drop(soft);
  }

  /** Calls `callback` when events may have been missed: after a reconnect, or when the tab is seen again. */
  onResume(callback: (reason: ResumeReason) => unknown): () => void {
    this.resumed.add(callback);
    return () => this.resumed.delete(callback);
  }

  /** Calls `callback` now and whenever the connection changes its state. */
  onConnectionState(callback: (state: ConnectionState) => unknown): () => void {
    this.watchers.add(callback);
    guarded("a connection callback", callback, this.getConnectionState());
    return () => this.watchers.delete(callback);
  }

  /**
   * Calls `refresh` when no event came for `seconds` (at least 5), then starts the period anew.
   * Without `seconds` the hub's setting counts, and without that 30. Returns its stop.
   */
  startIdleGuard(refresh: () => unknown, seconds?: number): () => void {
    for (const other of this.guards) if (other.refresh === refresh) this.stop(other);
    const given = idleSeconds(seconds) ?? idleSeconds(this.options.idleSeconds);
    const fire = () => {
      debug("idle guard");
      void keepPage(() => guarded("the idle guard's refresh", refresh));
    };
    const entry: Guarded = { refresh, guard: new IdleGuard(fire, hidden, (given ?? DEFAULT_IDLE_S) * 1000) };
    this.guards.add(entry);
    this.start();
    if (given === undefined) {
      void this.setting().then((told) => {
        if (told !== undefined && this.guards.has(entry)) entry.guard.setPeriod(told);
      });
    }
    return () => this.stop(entry);
  }

  isConnected(): boolean {
    return this.link?.state === "connected";
  }

  getConnectionState(): ConnectionState {
    return this.link?.state ?? "idle";
  }

  /** The Socket.IO client, for events of one's own; `null` before the first connection is begun. */
  getSocket(): Socket | null {
    return this.link?.socket ?? null;
  }

  /** The same as `window.__syncDebug = on`. */
  setDebug(on: boolean): void {
    setDebug(on);
  }

  private hangUp(): void {
    this.wasUp ||= this.link?.hasBeenUp ?? false;
    this.link?.close();
    this.link = undefined;
  }

  /** In a moment, so that an `init` in the same script still counts. */
  private start(): void {
    if (this.link || this.starting) return;
    this.starting = true;
    void Promise.resolve().then(() => {
      this.starting = false;
      if (this.link) return;
      const told = (state: ConnectionState) =>
        this.watchers.forEach((watcher) => guarded("a connection callback", watcher, state));
      const owner = {
        up: (missed: boolean) => void this.up(missed),
        state: told,
        event: (name: string, payload: unknown) => this.take(name, payload),
      };
      this.link = new Link(this.io, this.options, owner, this.wasUp);
      told(this.link.state);
    });
  }

  private async up(missed: boolean): Promise<void> {
    await Promise.all([...this.rooms.keys()].map((room) => this.join(room)));
    // Only now, so that no change falls between the looking and the joining.
    if (missed && this.isConnected()) this.catchUp("reconnect");
  }

  private join(room: string): Promise<void> {
    debug("join", room);
    const waiting = this.rooms.get(room) ?? [];
    this.rooms.set(room, []);
    return new Promise((resolve) => {
      const joined = (_late: Error | null, answer?: Answer) => {
        if (answer?.success === false) console.warn(`[sync] room ${room} is closed to this page:`, answer.error);
        // Not every back end answers; then time alone says that it must have heard.
        for (const heard of [resolve, ...waiting]) heard();
      };
      this.getSocket()?.timeout(ANSWER_MS).emit(`${room}:join`, { ts: Date.now() }, joined);
    });
  }

  private take(event: string, payload: unknown): void {
    const known = isEnvelope(payload);
    const envelope = payload as Envelope;
    const room = known ? roomOf(envelope) : null;
    if (room !== null && this.left.has(room)) return;
    const { repeat, late } = known ? this.seen.note(event, envelope) : { repeat: false, late: false };
    debug(repeat ? "repeat of" : "event", event, payload);
    if (repeat) return;
    const callbacks = [...(this.handlers.get(event) ?? [])];
    const dependents = (this.options.dependencies ?? DEPENDENCIES)[event] ?? [];
    const soft = [...this.softRefreshes].filter((one) => one.event === event || dependents.includes(one.event));
    if (callbacks.length + soft.length > 0) for (const { guard } of this.guards) guard.touch();
    for (const callback of callbacks) guarded(`a callback of ${event}`, callback, envelope, { event, late });
    // What nobody sees is refreshed when it is seen again.
    if (!hidden()) for (const schedule of new Set(soft.map((one) => one.schedule))) schedule(envelope);
  }

  private wake(reason: ResumeReason): void {
    this.link?.hurry();
    // Without a connection the next one catches up.
    if (reason !== "online" && this.isConnected()) this.catchUp(reason);
  }

  /** Each function of the page once, however many ways it was handed in. */
  private catchUp(reason: ResumeReason): void {
    if (hidden()) return;
    debug("catch up:", reason);
    const called = new Set<unknown>();
    for (const { callback, schedule } of this.softRefreshes) {
      if (!called.has(callback)) schedule();
      called.add(callback);
    }
    for (const { refresh, guard } of this.guards) {
      guard.touch();
      if (!called.has(refresh)) void keepPage(() => guarded("the idle guard's refresh", refresh));
      called.add(refresh);
    }
    for (const callback of this.resumed) if (!called.has(callback)) guarded("a resume callback", callback, reason);
  }

  private drop(soft: SoftRefresh): void {
    this.softRefreshes.delete(soft);
    if (![...this.softRefreshes].some((other) => other.schedule === soft.schedule)) soft.schedule.cancel();
  }

  private stop(entry: Guarded): void {
    entry.guard.stop();
    this.guards.delete(entry);
  }

  /** The period that the hub wants, asked for once. */
  private setting(): Promise<number | undefined> {
    this.asked ??= (async () => {
      try {
        const { token } = await credentials(this.options.token);
        const headers = token ? { authorization: `Bearer ${token}` } : {};
        const reply = await fetch((this.options.url ?? origin()) + SETTINGS_PATH, { headers });
        return reply.ok ? idleSeconds(((await reply.json()) as { idle_seconds?: unknown }).idle_seconds) : undefined;
      } catch {
        // Without an answer the default stays.
        return undefined;
      }
    })();
    return this.asked;
  }
}
