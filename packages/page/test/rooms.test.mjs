import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { page, settle, spy } from "./world.mjs";

afterEach(() => mock.timers.reset());

test("a room is joined once for each connection, also when asked for before the first", async () => {
  const { sync, wire } = await page();
  const heard = spy();
  void sync.joinRoom("files").then(heard);
  assert.deepEqual(wire.sent, []);

  wire.open();
  await settle();
  assert.deepEqual(wire.sent, ["files:join"]);
  assert.equal(heard.calls.length, 1);

  wire.drop();
  wire.open();
  assert.deepEqual(wire.sent, ["files:join", "files:join"]);
});

test("a room that was left is not joined again, and what still comes of it is dropped", async () => {
  const { sync, wire } = await page();
  const changed = spy();
  void sync.joinRoom("files");
  sync.on("files:changed", changed);
  wire.open();
  wire.tell("files:changed", { scope: "room:files" });

  sync.leaveRoom("files");
  wire.tell("files:changed", { scope: "room:files" });
  wire.drop();
  wire.open();

  assert.deepEqual(wire.sent, ["files:join", "files:leave"]);
  assert.equal(changed.calls.length, 1);
});

test("callbacks get the envelope, and each only once however often it was handed in", async () => {
  const { sync, wire } = await page();
  const changed = spy();
  sync.on("files:changed", changed);
  sync.on("files:changed", changed);
  wire.open();
  wire.tell("files:changed", { reason: "added", id: 42, data: { name: "файл" } });

  assert.equal(changed.calls.length, 1);
  const [envelope, context] = changed.calls[0];
  assert.deepEqual([envelope.reason, envelope.id, envelope.data.name], ["added", 42, "файл"]);
  assert.deepEqual(context, { event: "files:changed", late: false });

  sync.off("files:changed", changed);
  wire.tell("files:changed");
  assert.equal(changed.calls.length, 1);
});

test("an event that comes twice is told once, and one that was overtaken says so", async () => {
  const { sync, wire } = await page();
  const late = [];
  sync.on("files:changed", (envelope, context) => late.push([envelope.seq, envelope.worker, context.late]));
  wire.open();
  wire.tell("files:changed", { seq: 20, worker: 1, id: 5, scope: "global" });
  wire.tell("files:changed", { seq: 20, worker: 1, id: 5, scope: "room:files" });
  wire.tell("files:changed", { seq: 20, worker: 2, id: 5 });
  wire.tell("files:changed", { seq: 19, worker: 3, id: 5 });
  wire.tell("files:changed", { seq: 18, worker: 3, id: 6 });

  assert.deepEqual(late, [[20, 1, false], [20, 2, false], [19, 3, true], [18, 3, false]]);
});

test("a callback that throws keeps no other from being called", async () => {
  const { sync, wire } = await page();
  const changed = spy();
  const complaint = mock.method(console, "error", () => {});
  sync.on("files:changed", () => {
    throw new Error("a mistake of the page");
  });
  sync.on("files:changed", changed);
  wire.open();
  wire.tell("files:changed");

  assert.equal(changed.calls.length, 1);
  assert.equal(complaint.mock.callCount(), 1);
  complaint.mock.restore();
});

test("payloads that are no envelope are handed on as they are", async () => {
  const { sync, wire } = await page();
  const told = spy();
  sync.on("users:toggle", told);
  wire.open();
  wire.any("users:toggle", "u1");
  wire.any("users:toggle", "u1");
  assert.deepEqual(told.calls.map(([payload]) => payload), ["u1", "u1"]);
});

test("the log is silent until `__syncDebug` is set", async () => {
  const { sync, wire } = await page();
  const log = mock.method(console, "log", () => {});
  wire.open();
  assert.equal(log.mock.callCount(), 0);
  sync.setDebug(true);
  assert.equal(globalThis.__syncDebug, true);
  wire.tell("files:changed");
  assert.equal(log.mock.callCount(), 1);
  sync.setDebug(false);
  log.mock.restore();
});
