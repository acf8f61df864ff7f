// Pages in a real browser, with the page client as it is built. The first line of standard input says where things are:
// {bundle: the page client's file, token, and either pages, workers as workers.mjs has them, or hub and allowed: the port of an origin}.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { ask, metric, open, PATIENCE_MS, publish, scenario, told, until } from "./kit.mjs";

/** Everything that Chromium would look for outside of this machine is switched off. */
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const BROWSER = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const NAMES = ["one", "two"];

const { bundle, token, pages: url, workers, hub, allowed } = await told();
assert(BROWSER, "no Chromium: `cargo xtask setup` installs it");
const browser = await chromium.launch({ executablePath: BROWSER, args: FLAGS });

const members = (name) => metric(workers[name], token, "syncline_room_members");

/** A browser's cookie that nginx leads to this worker. */
async function cookieOf(name) {
  for (let n = 0; ; n++) {
    assert(n < 100, `nginx never leads to ${name}`);
    const cookie = `syncline_page=browser-${n}`;
    const page = await open(url, { token, cookie, transports: ["websocket"] }).join("admin");
    const here = (await members(name)) === 1;
    page.socket.close();
    await until("it has left", async () => (await Promise.all(NAMES.map(members))).join() === "0,0");
    if (here) return cookie;
  }
}

/** Somebody's window on a page behind nginx, in the room `files`. */
async function visit(cookie) {
  const context = await browser.newContext({ bypassCSP: true });
  context.setDefaultTimeout(PATIENCE_MS);
  const [name, value] = cookie.split("=");
  await context.addCookies([{ name, value, url }]);
  const page = await context.newPage();
  await page.goto(`${url}/docs`);
  await page.addScriptTag({ path: bundle });
  await page.evaluate((token) => {
    window.heard = [];
    window.SyncManager.init({ url: location.origin, token });
    window.SyncManager.on("files:changed", (envelope) => window.heard.push(envelope.seq));
    window.SyncManager.joinRoom("files");
  }, token);
  page.hears = (seq) => page.waitForFunction((seq) => window.heard.includes(seq), seq);
  return page;
}

const change = (id) => ({ event: "files:changed", reason: "updated", id });

if (workers) {
  await scenario("windows on two workers hear the same, and a killed worker's window goes on", async () => {
    await until("both have Redis", async () => {
      const linked = await Promise.all(NAMES.map((name) => metric(workers[name], token, "syncline_redis_up")));
      return linked.join() === "1,1";
    });
    const cookies = { one: await cookieOf("one"), two: await cookieOf("two") };
    const windows = [];
    for (const name of NAMES) {
      windows.push(await visit(cookies[name]));
      await until(`it is on ${name}`, async () => (await members(name)) === 1);
    }
    for (const name of NAMES) {
      const seq = await publish(workers[name], token, change(name));
      for (const window of windows) await window.hears(seq);
    }
    await ask("kill two");
    await until("both are on the other", async () => (await members("one")) === 2);
    const seq = await publish(url, token, change("after"));
    for (const window of windows) await window.hears(seq);
  });
}

/** What a page of the origin at this port can do at the hub. */
async function reach(port) {
  const server = http.createServer((_, reply) => reply.setHeader("content-type", "text/html").end("<!doctype html><p>Elsewhere"));
  await new Promise((listening) => server.listen(port, "127.0.0.1", listening));
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.addScriptTag({ path: createRequire(import.meta.url).resolve("socket.io-client/dist/socket.io.js") });
  const reached = await page.evaluate(
    async ({ hub, token }) => {
      const connects = (transports) =>
        new Promise((done) => {
          const socket = window.io(hub, { auth: { token }, transports, upgrade: false, reconnection: false, forceNew: true });
          socket.on("connect", () => done(true));
          socket.on("connect_error", () => done(false));
        });
      const asks = fetch(`${hub}/api/sync/rooms`, { headers: { authorization: `Bearer ${token}` } });
      return { asks: await asks.then(({ ok }) => ok, () => false), polls: await connects(["polling"]) };
    },
    { hub, token },
  );
  await context.close();
  server.close();
  return reached;
}

if (hub) {
  await scenario("a page of an origin that is allowed reaches the hub, and one of another does not", async () => {
    assert.deepEqual(await reach(allowed), { asks: true, polls: true });
    assert.deepEqual(await reach(0), { asks: false, polls: false });
  });
}

await browser.close();
process.exit();
