import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { page, pass, settle, spy } from "./world.mjs";

afterEach(() => mock.timers.reset());

test("a burst of events is one refresh, which gets them in their order", async () => {
  const { sync, wire } = await page();
  const refresh = spy();
  sync.onSoftRefresh("files:changed", refresh);
  wire.open();
  for (const seq of [12, 11, 13]) wire.tell("files:changed", { seq });
  assert.equal(refresh.calls.length, 0);

  await pass(250);
  assert.equal(refresh.calls.length, 1);
  assert.deepEqual(refresh.calls[0][0].map(({ seq }) => seq), [11, 12, 13]);
});

test("a stream that never pauses is refreshed all the same", async () => {
  const { sync, wire } = await page();
  const refresh = spy();
  sync.onSoftRefresh("files:changed", refresh, 300);
  wire.open();
  for (let turn = 0; turn < 40; turn += 1) {
    wire.tell("files:changed");
    await pass(100);
  }
  assert.ok(refresh.calls.length >= 2 && refresh.calls.length <= 4, `${refresh.calls.length} refreshes`);
});

test("refreshes of one callback never overlap, and what came meanwhile leads to one more", async () => {
  const { sync, wire } = await page();
  let running = 0;
  let runs = 0;
  let finish = () => {};
  sync.onSoftRefresh("files:changed", async () => {
    runs += 1;
    running += 1;
    assert.equal(running, 1);
    await new Promise((resolve) => (finish = resolve));
    running -= 1;
  });
  wire.open();
  wire.tell("files:changed");
  await pass(250);
  wire.tell("files:changed");
  wire.tell("files:changed");
  await pass(1000);
  assert.equal(runs, 1);
  finish();
  await settle();
  assert.equal(runs, 2);
});

test("what changes a category or a registrator softly refreshes files, and nothing else does", async () => {
  const { sync, wire } = await page();
  const refresh = spy();
  const changed = spy();
  sync.onSoftRefresh("files:changed", refresh);
  sync.on("files:changed", changed);
  wire.open();
  wire.tell("users:changed");
  await pass(250);
  assert.equal(refresh.calls.length, 0);

  wire.tell("categories:changed");
  wire.tell("registrators:changed");
  wire.tell("files:changed", { data: { soft: true, source: "categories:changed" } });
  await pass(250);
  assert.equal(refresh.calls.length, 1);
  assert.equal(changed.calls.length, 1);
});

test("a page that was offline refreshes each of its functions once", async () => {
  const { sync, wire } = await page();
  const [refresh, guard, resume] = [spy(), spy(), spy()];
  sync.onSoftRefresh("files:changed", refresh);
  sync.onSoftRefresh("categories:changed", refresh);
  sync.startIdleGuard(refresh, 30);
  sync.startIdleGuard(guard, 30);
  sync.onResume(resume);
  wire.open();
  await pass(300);
  assert.deepEqual([refresh, guard, resume].map(({ calls }) => calls.length), [0, 0, 0]);

  wire.drop();
  await pass(600);
  wire.open();
  await pass(300);
  assert.deepEqual([refresh, guard, resume].map(({ calls }) => calls.length), [1, 1, 1]);
  assert.deepEqual(resume.calls[0], ["reconnect"]);
});

test("a page that comes back looks only when the hub has heard of its rooms", async () => {
  const { sync, wire } = await page();
  const refresh = spy();
  void sync.joinRoom("files");
  sync.startIdleGuard(refresh, 30);
  wire.open();
  wire.drop();
  wire.silent = true;
  wire.open();
  await settle();
  assert.equal(refresh.calls.length, 0);
  wire.answer();
  await settle();
  assert.equal(refresh.calls.length, 1);
});

test("a page that could not connect at once refreshes when it can", async () => {
  const { sync, wire } = await page();
  const refresh = spy();
  sync.onSoftRefresh("files:changed", refresh);
  wire.fail();
  await pass(1000);
  wire.open();
  await pass(300);
  assert.equal(refresh.calls.length, 1);
});

test("a soft refresh that was taken back does not run any more", async () => {
  const { sync, wire } = await page();
  const refresh = spy();
  const off = sync.onSoftRefresh("files:changed", refresh);
  wire.open();
  wire.tell("files:changed");
  off();
  await pass(500);
  assert.equal(refresh.calls.length, 0);
});

test("`debounce` runs once after its calls pause", async () => {
  const { sync } = await page();
  const run = spy();
  const soon = sync.debounce(run, 300);
  soon();
  await pass(200);
  soon();
  await pass(200);
  assert.equal(run.calls.length, 0);
  await pass(200);
  assert.equal(run.calls.length, 1);
  soon();
  soon.cancel();
  await pass(600);
  assert.equal(run.calls.length, 1);
});
