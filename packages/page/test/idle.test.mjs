import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { page, pass, settle, spy } from "./world.mjs";

afterEach(() => mock.timers.reset());

test("the guard fires after silence, and starts anew", async () => {
  const { sync, wire } = await page();
  const refresh = spy();
  wire.open();
  sync.startIdleGuard(refresh, 30);
  await pass(29_500);
  assert.equal(refresh.calls.length, 0);
  await pass(1000);
  assert.equal(refresh.calls.length, 1);
  await pass(29_000);
  assert.equal(refresh.calls.length, 1);
  await pass(1500);
  assert.equal(refresh.calls.length, 2);
});

test("events that the page listens to keep it quiet; others do not", async () => {
  const { sync, wire } = await page();
  const refresh = spy();
  wire.open();
  sync.on("files:changed", () => {});
  sync.startIdleGuard(refresh, 10);
  await pass(9000);
  wire.tell("files:changed");
  await pass(9000);
  assert.equal(refresh.calls.length, 0);
  wire.tell("users:changed");
  await pass(1500);
  assert.equal(refresh.calls.length, 1);
});

test("periods below five seconds are five seconds", async () => {
  const { sync } = await page();
  const refresh = spy();
  sync.startIdleGuard(refresh, 1);
  await pass(4500);
  assert.equal(refresh.calls.length, 0);
  await pass(1000);
  assert.equal(refresh.calls.length, 1);
});

test("without seconds the hub's setting counts, and 30 until it is known", async () => {
  const { sync } = await page({ url: "http://hub.example", token: "secret" });
  const asked = [];
  const reply = { ok: true, json: async () => ({ idle_seconds: 12 }) };
  const fetched = mock.method(globalThis, "fetch", async (url, { headers }) => (asked.push([url, headers.authorization]), reply));
  const refresh = spy();
  sync.startIdleGuard(refresh);
  await settle();
  await pass(13_000);
  assert.deepEqual(asked, [["http://hub.example/api/sync/rooms", "Bearer secret"]]);
  assert.equal(refresh.calls.length, 1);
  fetched.mock.restore();
});

test("a hub that does not say leaves 30 seconds", async () => {
  const { sync } = await page();
  const fetched = mock.method(globalThis, "fetch", async () => {
    throw new TypeError("no route");
  });
  const refresh = spy();
  sync.startIdleGuard(refresh);
  await pass(29_500);
  assert.equal(refresh.calls.length, 0);
  await pass(1000);
  assert.equal(refresh.calls.length, 1);
  fetched.mock.restore();
});

test("the same function guards once, and not after its stop", async () => {
  const { sync } = await page();
  const refresh = spy();
  sync.startIdleGuard(refresh, 5);
  const stop = sync.startIdleGuard(refresh, 10);
  await pass(10_500);
  assert.equal(refresh.calls.length, 1);
  stop();
  await pass(30_000);
  assert.equal(refresh.calls.length, 1);
});
