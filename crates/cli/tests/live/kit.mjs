// What the scenarios share: pages as people connect them, publishing, and talking to the test that started them.
// Each line of standard output is `ok <scenario>`, `ask <something>` (answered by a line), or why a scenario failed.

import assert from "node:assert/strict";
import http from "node:http";
import readline from "node:readline";
import { io } from "socket.io-client";

/** How long anything may take on a machine that is busy with other things. */
export const PATIENCE_MS = 60_000;

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** The next line of the test. */
export async function told() {
  return JSON.parse((await lines.next()).value);
}

/** Asks the test for something that only it can do. */
export async function ask(what) {
  console.log(`ask ${what}`);
  return told();
}

/** Runs one scenario and closes what it opened. */
export async function scenario(name, run) {
  const opened = [];
  try {
    await run((...how) => {
      const page = open(...how);
      opened.push(page);
      return page;
    });
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`${name}: ${String(error.stack ?? error).replaceAll("\n", " | ")}`);
    process.exitCode = 1;
  } finally {
    opened.forEach((page) => page.socket.close());
  }
}

/** Waits until something holds. */
export async function until(what, holds) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await holds();
    if (found) return found;
    assert(Date.now() < end, `never: ${what}`);
    await new Promise((go) => setTimeout(go, 10));
  }
}

/** A promise that fails when it takes too long. */
export function soon(what, promise) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`never: ${what}`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A page: a socket of the real client, and what it has heard, in order. */
export function open(url, options = {}) {
  const { token, cookie, ...rest } = options;
  const page = { heard: [], errors: [], reasons: [], connects: 0 };
  page.socket = io(url, {
    auth: token === undefined ? {} : { token },
    extraHeaders: cookie ? { cookie } : {},
    forceNew: true,
    reconnectionDelay: 50,
    reconnectionDelayMax: 200,
    ...rest,
  });
  page.socket.onAny((event, data) => page.heard.push([event, data]));
  page.socket.on("connect", () => (page.connects += 1));
  page.socket.on("disconnect", (reason) => page.reasons.push(reason));
  page.socket.on("connect_error", (error) => page.errors.push(error.message));
  page.connected = () => until("a page connects", () => page.socket.connected);
  page.call = async (event, ...payload) => {
    await page.connected();
    return page.socket.timeout(PATIENCE_MS).emitWithAck(event, ...payload);
  };
  page.join = async (room) => {
    assert.deepEqual(await page.call(`${room}:join`, { ts: Date.now() }), { success: true, room });
    return page;
  };
  page.next = async () => {
    await until("a page hears something", () => page.heard.length > 0);
    return page.heard.shift();
  };
  return page;
}

/** One HTTP request; `at` is a URL's beginning or the path of a socket file. */
export function request(at, method, path, { token, body, headers } = {}) {
  const target = at.startsWith("/") ? { socketPath: at, path } : new URL(at + path);
  const place = target instanceof URL ? { host: target.hostname, port: target.port, path } : target;
  const all = { ...headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
  return new Promise((done, fail) => {
    const sent = http.request({ ...place, method, headers: all, timeout: PATIENCE_MS }, (reply) => {
      const parts = [];
      reply.on("data", (part) => parts.push(part));
      reply.on("error", fail);
      reply.on("end", () => {
        const text = Buffer.concat(parts).toString();
        done({ status: reply.statusCode, headers: reply.headers, text, json: () => JSON.parse(text) });
      });
    });
    sent.on("error", fail);
    sent.on("timeout", () => sent.destroy(new Error(`${method} ${path} was not answered`)));
    sent.end(body);
  });
}

/** The bare connection below a WebSocket. */
export function upgraded(at) {
  const { hostname: host, port } = new URL(at);
  const headers = {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
  };
  const asked = http.get({ host, port, path: "/socket.io/?EIO=4&transport=websocket", headers });
  return soon("a WebSocket opens", new Promise((done, fail) => {
    asked.on("upgrade", (_, socket) => done(socket.on("error", () => {})));
    asked.on("error", fail);
    asked.on("response", (reply) => fail(new Error(`it is refused with ${reply.statusCode}`)));
  }));
}

/** Publishes as an application does; gives the `seq`. */
export async function publish(at, token, event) {
  const reply = await request(at, "POST", "/api/sync/emit", { token, body: JSON.stringify(event) });
  assert.equal(reply.status, 200, reply.text);
  return reply.json().seq;
}

/** That these pages have heard nothing more: the next thing that they hear is for everybody. */
export async function nothingMore(at, token, pages) {
  const seq = await publish(at, token, { event: "fence", reason: "updated", room: null });
  for (const page of pages) {
    const [event, envelope] = await page.next();
    assert.deepEqual([event, envelope.seq], ["fence", seq], JSON.stringify(envelope));
  }
}

/** The number that a metric without labels shows. */
export async function metric(at, token, name) {
  const text = (await request(at, "GET", "/metrics", { token })).text;
  const line = text.split("\n").find((line) => line.startsWith(`${name} `));
  return line ? Number(line.split(" ")[1]) : 0;
}

/** An event of event sync. */
export function insert(collection, data, client) {
  const [id, timestamp] = [crypto.randomUUID(), Date.now()];
  return { id, type: "insert", collection, documentId: String(data.id), data, timestamp, clientId: client };
}
