// Many at once: pages in rooms, and as many connections as a small hub is asked to hold. The first line of standard
// input says where the hub is: {url, token}.

import assert from "node:assert/strict";
import { metric, nothingMore, open, publish, scenario, told, until } from "./kit.mjs";

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

await scenario("two thousand connections each hear an event once", async () => {
  const COUNT = 2_000;
  const AT_ONCE = 100;
  const before = await metric(url, token, "syncline_live_connections");
  const pages = [];
  while (pages.length < COUNT) {
    const more = Array.from({ length: AT_ONCE }, () => open(url, { ...options, reconnection: false }));
    await Promise.all(more.map((page) => page.join("files")));
    pages.push(...more);
  }
  assert((await metric(url, token, "syncline_live_connections")) >= COUNT, `of ${before} before`);
  const seq = await publish(url, token, { event: "files:changed", reason: "updated", id: 1 });
  const fence = await publish(url, token, { event: "fence", reason: "updated", room: null });
  await until("all have heard both", () => pages.every((page) => page.heard.length === 2));
  for (const { heard, connects } of pages) {
    assert.deepEqual([heard[0][1].seq, heard[1][1].seq, connects], [seq, fence, 1]);
  }
  pages.forEach((page) => page.socket.close());
  await until("the hub has let them go", async () => (await metric(url, token, "syncline_live_connections")) < COUNT / 10);
});

process.exit();
