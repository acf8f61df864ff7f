/**
 * The connection of a page: one Socket.IO client that always comes back.
 *
 * Owns connecting, back-off and the choice of transports. Must never know rooms or events.
 */

import type { ManagerOptions, Socket, SocketOptions } from "socket.io-client";
import { debug } from "./debug.js";

/** The function `io` of `socket.io-client`. */
export type Io = (url: string, options: Partial<ManagerOptions & SocketOptions>) => Socket;

/** Where the connection stands. `refused`: the hub said no; it is asked again, ever more rarely. */
export type ConnectionState = "idle" | "connecting" | "connected" | "reconnecting" | "refused";

/** A token, or where to get one; a function is asked at each attempt. */
export type TokenSource = string | (() => string | null | undefined | Promise<string | null | undefined>);

/** How to reach the hub. */
export interface LinkOptions {
  /** Origin of the hub; left out: the page's own. */
  url?: string;
  /** Path of the Socket.IO door; left out: `/socket.io`. */
  path?: string;
  /** Shown as `auth.token`. */
  token?: TokenSource;
}

/** What the owner of a link is told. */
export interface LinkEvents {
  /** Connected; `missed` when events may have passed by since the page was loaded. */
  up(missed: boolean): void;
  state(state: ConnectionState): void;
  event(name: string, payload: unknown): void;
}

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** A page that took longer to connect may have missed events after it was loaded. */
const SLOW_CONNECT_MS = 5_000;

const WEBSOCKET_FIRST = ["websocket", "polling"];
/** After an attempt that hung: proxies that swallow WebSockets do not refuse them. */
const POLLING_FIRST = ["polling", "websocket"];

/** One connection and its successors. */
export class Link {
  readonly socket: Socket;
  private failures = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private current: ConnectionState = "connecting";
  private closed = false;
  private readonly startedAt = Date.now();

  constructor(
    io: Io,
    options: LinkOptions,
    private readonly owner: LinkEvents,
    /** Whether the page was connected before, by another link: events may have passed by since. */
    private wasUp = false,
  ) {
    this.socket = io(options.url ?? origin(), {
      path: options.path ?? "/socket.io",
      transports: WEBSOCKET_FIRST,
      tryAllTransports: true,
      timeout: CONNECT_TIMEOUT_MS,
      // Attempts are made here: those of the library cannot be hurried when a tab wakes up, and
      // it makes none after a refusal.
      reconnection: false,
      forceNew: true,
      autoConnect: false,
      auth: (give: (auth: object) => void) => void credentials(options.token).then(give),
    } as Partial<ManagerOptions & SocketOptions>);
    this.socket.on("connect", () => this.connected());
    this.socket.on("disconnect", (reason: string) => this.lost(reason));
    this.socket.on("connect_error", (error: Error) => this.failed(error));
    this.socket.onAny((name: string, payload: unknown) => owner.event(name, payload));
    this.socket.connect();
  }

  get state(): ConnectionState {
    return this.current;
  }

  /** Whether the page has been connected, by this link or before it. */
  get hasBeenUp(): boolean {
    return this.wasUp;
  }

  /** Connects now where an attempt waits: the network is back, or somebody looks at the page. */
  hurry(): void {
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    this.attempt();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.socket.disconnect();
  }

  private connected(): void {
    debug("connected by", this.socket.io?.engine?.transport?.name);
    const missed = this.wasUp || this.failures > 0 || Date.now() - this.startedAt > SLOW_CONNECT_MS;
    this.wasUp = true;
    this.failures = 0;
    this.enter("connected");
    this.owner.up(missed);
  }

  private lost(reason: string): void {
    debug("connection lost:", reason);
    if (this.closed) return;
    // The page itself hung up, by way of `getSocket()`.
    if (reason === "io client disconnect") return this.enter("idle");
    this.enter("reconnecting");
    this.retry();
  }

  private failed(error: Error): void {
    if (this.closed) return;
    this.failures += 1;
    // A socket that is no longer active was refused by the hub; otherwise the network failed.
    const refused = !this.socket.active;
    debug(refused ? "refused:" : "cannot connect:", error.message);
    this.enter(refused ? "refused" : this.wasUp ? "reconnecting" : "connecting");
    if (!refused) this.socket.io.opts.transports = this.failures % 2 === 1 ? POLLING_FIRST : WEBSOCKET_FIRST;
    this.retry();
  }

  private retry(): void {
    const step = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.failures, 10));
    // All of it by chance, so that pages of one hub come back evenly, however many there are.
    const waitMs = step * Math.random();
    debug(`next attempt in ${Math.round(waitMs)} ms`);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.attempt(), waitMs);
  }

  private attempt(): void {
    this.timer = undefined;
    this.socket.connect();
  }

  private enter(state: ConnectionState): void {
    if (this.current === state) return;
    this.current = state;
    this.owner.state(state);
  }
}

/** What is shown to the hub; nothing where there is no token. */
export async function credentials(token: TokenSource | undefined): Promise<{ token?: string }> {
  try {
    const shown = typeof token === "function" ? await token() : token;
    return shown ? { token: shown } : {};
  } catch (error) {
    console.error("[sync] no token:", error);
    return {};
  }
}

/** The page's own origin. */
export function origin(): string {
  return typeof location === "undefined" ? "" : location.origin;
}
