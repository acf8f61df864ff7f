// Many at once: pages in rooms, and as many connections as a small hub is asked to hold. The first line of standard
// input says where the hub is: {url, token}.

import assert from "node:assert/strict";
import { ask, metric, nothingMore, open, publish, scenario, told, until } from "./kit.mjs";

const { url, token } = await told();
const options = { token, transports: ["websocket"] };

await scenario("a hundred pages, ten events: each member hears ten, nobody else any", async (open) => {
  const rooms = ["files", "users", "groups", "index", "admin"];
  const pages = await Promise.all(
    Array.from({ length: 100 }, (_, n) => open(url, n % 10 === 0 ? { token } : options).join(rooms[n % rooms.length])),
  );
  const seqs = [];
  for (let n = 0; n < 10; n++) {
    seqs.push(await publish(url, token, { event: "files:changed", reason: "updated", id: n }));
  }
  await nothingMore(url, token, pages.filter((_, n) => n % rooms.length !== 0));
  for (const page of pages.filter((_, n) => n % rooms.length === 0)) {
    for (const seq of seqs) assert.equal((await page.next())[1].seq, seq);
  }
  await nothingMore(url, token, []);
});

await scenario("a page that takes nothing for a while holds nobody back, and ends with the newest event", async (open) => {
  const COUNT = 6_000;
  const data = "x".repeat(3_000); // together more than what the system keeps for a connection
  const [slow, quick] = [open(url, options), open(url, options)];
  const polling = open(url, { token, transports: ["polling"], upgrade: false });
  await Promise.all([slow, quick, polling].map((page) => page.join("files")));
  slow.socket.io.engine.transport.ws._socket.pause();
  let last = 0;
  for (let n = 0; n < COUNT; n += 50) {
    const events = Array.from({ length: 50 }, (_, at) => ({ event: "files:changed", reason: "updated", id: n + at, data }));
    last = Math.max(last, ...(await Promise.all(events.map((event) => publish(url, token, event)))));
  }
  const ends = (page) => page.heard.some(([, { seq }]) => seq === last);
  for (const page of [quick, polling]) {
    await until("the others have heard all", () => page.heard.length === COUNT);
    assert(ends(page));
  }
  slow.socket.io.engine.transport.ws._socket.resume();
  await until("it has the newest", () => ends(slow));
  assert(slow.heard.length < COUNT, "it was really slow");
  assert.deepEqual([slow.connects, quick.connects, polling.connects], [1, 1, 1]);
});

await scenario("two thousand connections each hear an event once, also after the hub was killed", async () => {
  const COUNT = 2_000;
  const AT_ONCE = 100;
  const pages = [];
  while (pages.length < COUNT) {
    const more = Array.from({ length: AT_ONCE }, () => open(url, options));
    await Promise.all(more.map((page) => page.join("files")));
    pages.push(...more);
  }
  assert((await metric(url, token, "syncline_live_connections")) >= COUNT);
  for (const times of [1, 2]) {
    const seq = await publish(url, token, { event: "files:changed", reason: "updated", id: 1 });
    const fence = await publish(url, token, { event: "fence", reason: "updated", room: null });
    await until("all have heard both", () => pages.every((page) => page.heard.length === 2));
    for (const { heard, connects } of pages) {
      assert.deepEqual([heard[0][1].seq, heard[1][1].seq, connects], [seq, fence, times]);
      heard.length = 0;
    }
    if (times === 2) break;
    for (const page of pages) {
      page.socket.once("connect", () => page.socket.emit("files:join", null, () => (page.back = true)));
    }
    await ask("restart");
    await until("all are back", () => pages.every((page) => page.back));
  }
  pages.forEach((page) => page.socket.close());
  await until("the hub has let them go", async () => (await metric(url, token, "syncline_live_connections")) === 0);
});

process.exit();
