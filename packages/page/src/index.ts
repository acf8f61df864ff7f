/**
 * `@syncline/page`: keeps a web page in step with its hub.
 *
 * In reading order: `sync` is what pages call; `link` is the connection, `envelope` order and
 * repeats, `debounce` and `idle` the clocks, `wake` the tab; `keep` and `patch` are soft refresh.
 */

import { io } from "socket.io-client";
import type { Io } from "./link.js";
import { Sync } from "./sync.js";

export { compareEvents, type Envelope, type Reason } from "./envelope.js";
export type { Debounced } from "./debounce.js";
export { keepPage } from "./keep.js";
export type { ConnectionState, Io, TokenSource } from "./link.js";
export { type ListPatch, morph, type Patched, patchList } from "./patch.js";
export { DEPENDENCIES, type EventCallback, type EventContext, type RefreshCallback, Sync, type SyncOptions } from "./sync.js";
export type { ResumeReason } from "./wake.js";

/** The page's one connection. It is made when first needed. */
export const SyncManager: Sync = new Sync(io as Io);
