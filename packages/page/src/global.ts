/**
 * The classic script: the global `SyncManager`, with what the module exports beside it.
 *
 * Owns the global's name. Must never bring a Socket.IO client along: the page's `io` is used.
 */

import { compareEvents } from "./envelope.js";
import { keepPage } from "./keep.js";
import type { Io } from "./link.js";
import { morph, patchList } from "./patch.js";
import { Sync } from "./sync.js";

interface Page {
  io?: Io;
  SyncManager?: Sync;
}

// In a browser they are the same; where scripts run without one, they need not be.
const page = globalThis as Page;
const inside = (typeof window === "undefined" ? page : window) as Page;

const io: Io = (url, options) => {
  const client = page.io ?? inside.io;
  if (!client) throw new Error("SyncManager needs Socket.IO: load socket.io.min.js before, or use sync.bundle.js");
  return client(url, options);
};

inside.SyncManager = page.SyncManager = Object.assign(new Sync(io), { Sync, compareEvents, keepPage, morph, patchList });
