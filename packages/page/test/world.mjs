/**
 * A page without a browser: a Socket.IO client that does what a test tells it, and a clock.
 *
 * Owns the stand-ins. Must never look inside the client under test.
 */

import { mock } from "node:test";
import { Sync } from "../dist/index.js";

/** A connection whose other end is the test. */
export class Wire {
  constructor(url, options) {
    Object.assign(this, { url, options, active: false, connected: false, sent: [], attempts: 0 });
    this.io = { opts: { transports: options.transports } };
    this.handlers = {};
  }

  on(name, handler) {
    this.handlers[name] = handler;
  }

  onAny(handler) {
    this.any = handler;
  }

  connect() {
    this.attempts += 1;
    this.active = true;
    this.options.auth((auth) => (this.auth = auth));
  }

  disconnect() {
    this.drop("io client disconnect");
  }

  timeout() {
    return this;
  }

  emit(name, payload, answered) {
    this.sent.push(name);
    this.answer = () => answered?.(null);
    if (!this.silent) this.answer();
  }

  /** The hub lets the page in. */
  open() {
    this.connected = true;
    this.handlers.connect();
  }

  /** The connection ends. */
  drop(reason = "transport close") {
    this.connected = false;
    this.handlers.disconnect(reason);
  }

  /** An attempt fails; a refused one says so by being inactive. */
  fail(refused = false) {
    this.active = !refused;
    this.handlers.connect_error(new Error(refused ? "wrong token" : "xhr poll error"));
  }

  /** The hub sends an event. */
  tell(event, envelope = {}) {
    this.any(event, { reason: "updated", seq: ++seq, worker: 7, scope: "global", id: null, data: null, ...envelope });
  }
}

let seq = 1_800_000_000_000;

/** A page client on a clock that only the test moves. */
export async function page(options) {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: seq });
  const wires = [];
  const sync = new Sync((url, given) => {
    const wire = new Wire(url, given);
    wires.push(wire);
    return wire;
  });
  if (options) sync.init(options);
  else sync.on("nothing", () => {});
  await settle();
  return { sync, wires, wire: wires[0] };
}

/** Lets the clock run, in small steps, and what it sets off finish. */
export async function pass(ms) {
  for (let left = ms; left > 0; left -= 100) {
    mock.timers.tick(Math.min(100, left));
    await settle();
  }
}

/** Lets promises finish. */
export async function settle() {
  for (let turn = 0; turn < 20; turn += 1) await null;
}

/** A function that counts its calls and keeps what it was given. */
export function spy() {
  const calls = [];
  return Object.assign((...given) => void calls.push(given), { calls });
}
