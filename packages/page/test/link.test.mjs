import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { page, pass, settle, spy } from "./world.mjs";

afterEach(() => mock.timers.reset());

test("the connection is made once, by WebSocket first, to the page's own origin", async () => {
  const { sync, wires, wire } = await page();
  void sync.joinRoom("files");
  await settle();
  assert.equal(wires.length, 1);
  assert.deepEqual(wire.options.transports, ["websocket", "polling"]);
  assert.equal(wire.options.path, "/socket.io");
  assert.equal(sync.getSocket(), wire);
  assert.equal(sync.isConnected(), false);
  wire.open();
  assert.equal(sync.isConnected(), true);
});

test("attempts come ever more rarely, by chance within the whole step, and never stop", async () => {
  const { wire } = await page();
  const chance = mock.method(Math, "random", () => 1);
  const waits = [];
  for (let turn = 0; turn < 10; turn += 1) {
    wire.fail();
    const before = wire.attempts;
    let waited = 0;
    while (wire.attempts === before) {
      await pass(100);
      waited += 100;
    }
    waits.push(waited);
  }
  assert.deepEqual(waits, [2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000, 30_000, 30_000]);

  chance.mock.mockImplementation(() => 0);
  wire.fail();
  const before = wire.attempts;
  await pass(100);
  assert.equal(wire.attempts, before + 1);
  chance.mock.restore();
});

test("after a failure polling goes first, then WebSocket again", async () => {
  const { wire } = await page();
  wire.fail();
  assert.deepEqual(wire.io.opts.transports, ["polling", "websocket"]);
  await pass(2000);
  wire.fail();
  assert.deepEqual(wire.io.opts.transports, ["websocket", "polling"]);
});

test("the states of a connection are told as they come", async () => {
  const { sync, wire } = await page();
  const states = [];
  sync.onConnectionState((state) => states.push(state));
  wire.open();
  wire.drop();
  await pass(1000);
  wire.fail(true);
  await pass(2000);
  wire.open();
  assert.deepEqual(states, ["connecting", "connected", "reconnecting", "refused", "connected"]);
  assert.equal(sync.getConnectionState(), "connected");
});

test("a hub that says no is asked again with a new token", async () => {
  const tokens = ["old", "new"];
  const { wire } = await page({ token: async () => tokens.shift() });
  await settle();
  assert.deepEqual(wire.auth, { token: "old" });
  wire.fail(true);
  await pass(2000);
  assert.deepEqual(wire.auth, { token: "new" });
});

test("a page that hangs up itself stays away", async () => {
  const { sync, wire } = await page();
  wire.open();
  sync.getSocket().disconnect();
  await pass(60_000);
  assert.equal(wire.attempts, 1);
  assert.equal(sync.getConnectionState(), "idle");
});

test("a closed client makes no attempt until it is set up again", async () => {
  const { sync, wire, wires } = await page();
  const refresh = spy();
  sync.startIdleGuard(refresh, 5);
  wire.fail(true);
  sync.close();
  await pass(60_000);
  assert.deepEqual([wire.attempts, refresh.calls.length, sync.getConnectionState()], [1, 0, "idle"]);
  sync.init();
  await settle();
  assert.equal(wires[1].attempts, 1);
});

test("`init` connects anew with other options and keeps rooms and callbacks", async () => {
  const { sync, wires } = await page();
  const changed = spy();
  void sync.joinRoom("files");
  sync.on("files:changed", changed);
  wires[0].open();
  sync.init({ url: "http://other.example", token: "t" });
  await settle();
  wires[1].open();
  wires[1].tell("files:changed");
  assert.equal(wires[1].url, "http://other.example");
  assert.deepEqual(wires[1].sent, ["files:join"]);
  assert.equal(changed.calls.length, 1);
});

test("a page that connects anew by `init` catches up with what passed by meanwhile", async () => {
  const { sync, wires } = await page();
  const resumed = spy();
  sync.onResume(resumed);
  wires[0].open();
  await settle();
  assert.equal(resumed.calls.length, 0);
  sync.init({ token: "t" });
  await settle();
  wires[1].open();
  await settle();
  assert.equal(resumed.calls.length, 1);
});
