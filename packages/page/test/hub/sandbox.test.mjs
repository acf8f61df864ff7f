/**
 * The classic script as a page runs it, in a sandbox, with a real Socket.IO client against a hub that runs:
 * `SYNCLINE_URL` says where, `SYNCLINE_TOKEN` is a token that may read and write.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import vm from "node:vm";
import { io } from "socket.io-client";

const url = process.env.SYNCLINE_URL;
const token = process.env.SYNCLINE_TOKEN;
assert.ok(url && token, "SYNCLINE_URL and SYNCLINE_TOKEN say which hub to use");
const script = new vm.Script(readFileSync(new URL("../../dist/sync.js", import.meta.url), "utf8"));
const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
const node = `test-${crypto.randomUUID()}`;
const PATIENCE_MS = 5_000;

let seq = 0;
let stamp = Date.now() * 1024;
const pages = [];
after(() => pages.forEach(({ SyncManager }) => SyncManager.close()));

/** A page with nothing but what pages of document 003 have: `io`, timers, an address. */
function page(transports) {
  const client = transports ? (at, options) => io(at, { ...options, transports }) : io;
  const sandbox = { io: client, location: { origin: url }, console, setTimeout, clearTimeout, fetch };
  sandbox.window = sandbox;
  script.runInContext(vm.createContext(sandbox));
  sandbox.SyncManager.init({ token });
  pages.push(sandbox);
  return sandbox;
}

/** Gathers what a callback gets, and waits for it. */
function inbox() {
  const got = [];
  let wake = () => {};
  const callback = (envelope) => {
    got.push(envelope);
    wake();
  };
  const until = async (done, what) => {
    const deadline = Date.now() + PATIENCE_MS;
    while (!done(got)) {
      const left = deadline - Date.now();
      assert.ok(left > 0, `${what}: got ${JSON.stringify(got)}`);
      await Promise.race([new Promise((resolve) => (wake = resolve)), new Promise((resolve) => setTimeout(resolve, left))]);
    }
    return got;
  };
  return { callback, until, got };
}

async function push(op) {
  const batch = { node, batchId: crypto.randomUUID(), ops: [{ seq: (seq += 1), stamp: (stamp += 1), ...op }] };
  const reply = await fetch(`${url}/sync/push`, { method: "POST", headers, body: JSON.stringify(batch) });
  assert.equal(reply.status, 200);
}

async function insert(collection) {
  const id = crypto.randomUUID();
  await push({ op: "insert", collection, id, doc: { _id: id, name: "файл" } });
  return id;
}

for (const transports of [["websocket"], ["polling"]]) {
  test(`a page by ${transports} gets each change of its room once, and nothing of others`, async () => {
    const { SyncManager } = page(transports);
    const files = inbox();
    const users = inbox();
    SyncManager.on("files:changed", files.callback);
    SyncManager.on("users:changed", users.callback);
    await SyncManager.joinRoom("files");
    await SyncManager.joinRoom("files");

    await insert("users");
    const id = await insert("files");
    await push({ op: "update", collection: "files", id, base: 0, set: { name: "акт" } });
    await push({ op: "remove", collection: "files", id, base: 0 });

    const own = () => files.got.filter((envelope) => envelope.id === id);
    await files.until(() => own().length >= 3, "three events about one file");
    assert.deepEqual(own().map(({ reason }) => reason), ["added", "updated", "deleted"]);
    assert.deepEqual(users.got, []);
    for (const [index, envelope] of own().entries()) {
      assert.deepEqual(Object.keys(envelope).sort(), ["data", "id", "reason", "scope", "seq", "worker"]);
      assert.equal(envelope.scope, "room:files");
      assert.ok(Number.isInteger(envelope.worker) && Math.abs(envelope.seq - Date.now()) < 60_000);
      assert.ok(index === 0 || envelope.seq > own()[index - 1].seq);
    }
  });
}

test("the page of the document as it stands there hears of changes", async () => {
  const sandbox = page();
  const { callback, until } = inbox();
  sandbox.refreshFilesData = callback;
  vm.runInContext(
    `SyncManager.joinRoom("files");
     SyncManager.on("files:changed", refreshFilesData);
     SyncManager.startIdleGuard(refreshFilesData, 30);`,
    sandbox,
  );
  await sandbox.SyncManager.joinRoom("files");
  const id = await insert("files");
  await until((got) => got.some((envelope) => envelope.id === id), "the new file");
});

test("a changed category softly refreshes the page of files, once", async () => {
  const { SyncManager } = page();
  const refreshes = inbox();
  SyncManager.onSoftRefresh("files:changed", refreshes.callback);
  await SyncManager.joinRoom("files");
  await insert("categories");
  await insert("categories");
  const [events] = await refreshes.until((got) => got.length > 0, "a soft refresh");
  assert.deepEqual(events.map(({ data }) => data), events.map(() => ({ soft: true, source: "categories:changed" })));
});

test("a page whose connection was cut joins again and catches up once", async () => {
  const { SyncManager } = page();
  const files = inbox();
  const refreshes = inbox();
  SyncManager.on("files:changed", files.callback);
  SyncManager.onSoftRefresh("files:changed", refreshes.callback);
  await SyncManager.joinRoom("files");
  SyncManager.getSocket().io.engine.close();
  assert.equal(SyncManager.isConnected(), false);
  await insert("files");

  const [events] = await refreshes.until((got) => got.length > 0, "catching up");
  assert.equal(events.length, 0);
  const id = await insert("files");
  await files.until((got) => got.some((envelope) => envelope.id === id), "a change after the return");
});

test("the idle guard calls when nothing comes, not before five seconds", async () => {
  const { SyncManager } = page();
  const calls = inbox();
  const started = Date.now();
  const stop = SyncManager.startIdleGuard(calls.callback, 1);
  await new Promise((resolve) => setTimeout(resolve, 4_500));
  assert.equal(calls.got.length, 0);
  await calls.until((got) => got.length === 1, "the guard");
  assert.ok(Date.now() - started >= 5_000);
  stop();
});

test("a page can ask how many are in a room", async () => {
  const one = page();
  const two = page();
  await one.SyncManager.joinRoom("admin");
  await two.SyncManager.joinRoom("admin");
  assert.equal(await one.SyncManager.presence("admin"), 2);
});

test("a wrong token is refused, and the page says so", async () => {
  const { SyncManager } = page();
  SyncManager.init({ token: "wrong" });
  const states = inbox();
  SyncManager.onConnectionState(states.callback);
  await states.until((got) => got.includes("refused"), "the refusal");
});
