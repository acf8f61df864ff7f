/**
 * The classic script with a Socket.IO client inside: one file, nothing else to load.
 *
 * Owns the global `io`. Must never replace a client that the page has loaded itself.
 */

import { io } from "socket.io-client";
import "./global.js";

const page = globalThis as typeof globalThis & { io?: typeof io };
page.io ??= io;
