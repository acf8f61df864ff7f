import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { page, pass, spy } from "./world.mjs";

afterEach(() => {
  mock.timers.reset();
  delete globalThis.document;
  delete globalThis.window;
});

/** A tab that the test shows and hides. */
function tab() {
  const listeners = {};
  const on = (kind, listener) => (listeners[kind] = listener);
  globalThis.document = { visibilityState: "visible", addEventListener: on };
  globalThis.window = { addEventListener: on };
  const turn = (state) => {
    document.visibilityState = state;
    listeners.visibilitychange();
  };
  return { hide: () => turn("hidden"), show: () => turn("visible"), tell: (kind, event) => listeners[kind](event) };
}

test("a hidden tab hears and does not refresh; seen again it refreshes once", async () => {
  const { hide, show } = tab();
  const { sync, wire } = await page();
  const [changed, refresh, guard, resume] = [spy(), spy(), spy(), spy()];
  sync.on("files:changed", changed);
  sync.onSoftRefresh("files:changed", refresh);
  sync.startIdleGuard(guard, 5);
  sync.onResume(resume);
  wire.open();
  hide();
  wire.tell("files:changed");
  wire.tell("files:changed");
  await pass(20_000);
  assert.deepEqual([changed, refresh, guard, resume].map(({ calls }) => calls.length), [2, 0, 0, 0]);

  show();
  await pass(300);
  assert.deepEqual([refresh, guard, resume].map(({ calls }) => calls.length), [1, 1, 1]);
  assert.deepEqual(resume.calls[0], ["visible"]);
});

test("a tab that comes back out of the browser's cache refreshes", async () => {
  const { tell } = tab();
  const { sync, wire } = await page();
  const refresh = spy();
  sync.onSoftRefresh("files:changed", refresh);
  wire.open();
  tell("pageshow", { persisted: false });
  await pass(300);
  assert.equal(refresh.calls.length, 0);
  tell("pageshow", { persisted: true });
  await pass(300);
  assert.equal(refresh.calls.length, 1);
});

test("whoever looks at a tab, or gets a network, does not wait for the next attempt", async () => {
  const { show, tell } = tab();
  const { wire } = await page();
  for (let turn = 0; turn < 8; turn += 1) {
    wire.fail();
    await pass(30_000);
  }
  wire.fail();
  const before = wire.attempts;
  show();
  assert.equal(wire.attempts, before + 1);
  wire.fail();
  tell("online");
  assert.equal(wire.attempts, before + 2);
});
