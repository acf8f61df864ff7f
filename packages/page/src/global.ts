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

const page = globalThis as typeof globalThis & { io?: Io; SyncManager?: Sync };

const io: Io = (url, options) => {
  if (!page.io) throw new Error("SyncManager needs Socket.IO: load socket.io.min.js before, or use sync.bundle.js");
  return page.io(url, options);
};

page.SyncManager = Object.assign(new Sync(io), { Sync, compareEvents, keepPage, morph, patchList });
