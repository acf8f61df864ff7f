// Two workers behind nginx with Redis between them: pages do not notice which one they are on, whatever happens to
// the workers and to Redis. The first line of standard input says where they are:
// {pages, documents: URLs at nginx, workers: {one, two: paths of socket files}, token, redis: {path, password, db}}.

import assert from "node:assert/strict";
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { ask, insert, metric, nothingMore, publish, request, scenario, told, until } from "./kit.mjs";

const { pages: url, documents, workers, token, redis } = await told();
const NAMES = ["one", "two"];

const members = (name) => metric(workers[name], token, "syncline_room_members");
const linked = (name) => metric(workers[name], token, "syncline_redis_up");
const allLinked = () => until("both workers have Redis", async () => (await linked("one")) && (await linked("two")));

/** Which worker nginx leads a browser with this cookie to, by where a room gets a member. */
async function homeOf(cookie, open) {
  const before = await Promise.all(NAMES.map(members));
  const page = await open(url, { token, cookie, transports: ["websocket"] }).join("admin");
  const after = await Promise.all(NAMES.map(members));
  page.socket.close();
  await until("it has left", async () => (await Promise.all(NAMES.map(members))).join() === before.join());
  return NAMES[after.findIndex((count, at) => count > before[at])];
}

/** A cookie for each worker. */
async function cookies(open) {
  const found = {};
  for (let n = 0; n < 50 && !(found.one && found.two); n++) {
    const cookie = `syncline_page=browser-${n}`;
    found[await homeOf(cookie, open)] = cookie;
  }
  assert(found.one && found.two, `nginx leads to one worker only: ${JSON.stringify(found)}`);
  return found;
}

const WAYS = [
  { transports: ["websocket"] },
  { transports: ["polling"], upgrade: false },
  { transports: ["polling", "websocket"] },
];

await allLinked();
let cookie;

await scenario("nginx spreads browsers over both workers and gives them a cookie with their first page", async (open) => {
  cookie = await cookies(open);
  const first = await request(url, "GET", "/health/live");
  assert.match(first.headers["set-cookie"][0], /^syncline_page=[0-9a-f]{32}; Path=\/;.*HttpOnly; SameSite=Lax$/);
  const next = await request(url, "GET", "/health/live", { headers: { cookie: "syncline_page=x" } });
  assert.equal(next.headers["set-cookie"], undefined);
});

await scenario("an event reaches the pages of both workers once, with the same envelope", async (open) => {
  const on = {};
  for (const name of NAMES) {
    on[name] = await Promise.all(WAYS.map((way) => open(url, { token, cookie: cookie[name], ...way }).join("files")));
  }
  const all = [...on.one, ...on.two];
  const strangers = await Promise.all(
    NAMES.map((name) => open(url, { token, cookie: cookie[name], transports: ["websocket"] }).join("users")),
  );
  const from = new Set();
  for (const name of NAMES) {
    const seq = await publish(workers[name], token, { event: "files:changed", reason: "added", id: "ž", data: [1.5] });
    const told = await Promise.all(all.map((page) => page.next()));
    told.forEach((heard) => assert.deepEqual(heard, told[0]));
    assert.deepEqual([told[0][0], told[0][1].seq], ["files:changed", seq]);
    from.add(told[0][1].worker);
  }
  assert.equal(from.size, 2, "each worker has a number of its own");
  await publish(url, token, { event: "categories:changed", reason: "added" });
  const soft = await Promise.all(all.map((page) => page.next()));
  soft.forEach((heard) => assert.deepEqual(heard, soft[0]));
  assert.deepEqual(soft[0][1].data, { soft: true, source: "categories:changed" });
  await nothingMore(workers.two, token, [...all, ...strangers]);
  const rooms = (await request(url, "GET", "/api/sync/rooms", { token })).json().rooms;
  assert.equal(rooms.find(({ room }) => room === "files").members, all.length);
});

await scenario("a document of one worker's store is told to the pages of both", async (open) => {
  const pages = [];
  for (const name of NAMES) pages.push(await open(url, { token, cookie: cookie[name] }).join("users"));
  const writer = open(documents, { token });
  await writer.connected();
  writer.socket.emit("client:info", { clientId: "writer", collections: ["users"] });
  assert.deepEqual(await writer.call("client:sync", [insert("users", { id: "u1" }, "writer")]), { success: true });
  const [here, there] = await Promise.all(pages.map((page) => page.next()));
  assert.deepEqual([here[0], here[1].reason, here[1].id], ["users:changed", "added", "u1"]);
  assert.deepEqual(here, there);
  await nothingMore(url, token, pages);
});

await scenario("devices sync through nginx, and pages of both workers hear of it", async (open) => {
  const pages = [];
  for (const name of NAMES) pages.push(await open(url, { token, cookie: cookie[name] }).join("groups"));
  await ask(`device {"_id":"g1","name":"by a device"}`);
  for (const page of pages) {
    const [name, envelope] = await page.next();
    assert.deepEqual([name, envelope.reason, envelope.id], ["groups:changed", "added", "g1"]);
  }
  await nothingMore(url, token, pages);
});

await scenario("Node's emitter publishes to members on both workers", async (open) => {
  const [pages, client] = [[], createClient({ socket: { path: redis.path }, password: redis.password, database: redis.db })];
  for (const name of NAMES) pages.push(await open(url, { token, cookie: cookie[name] }).join("files"));
  await client.connect();
  const emitter = new Emitter(client);
  emitter.to("files").emit("files:changed", { reason: "updated", from: "Node", deep: { list: [1, "ž", null] } });
  for (const page of pages) {
    const told = { reason: "updated", from: "Node", deep: { list: [1, "ž", null] } };
    assert.deepEqual(await page.next(), ["files:changed", told]);
  }
  emitter.to(["files", "users"]).emit("both", 7);
  for (const page of pages) assert.deepEqual(await page.next(), ["both", 7]);
  emitter.to("files").emit("bytes", Buffer.from([0, 254, 255]), "and text");
  for (const page of pages) assert.deepEqual(await page.next(), ["bytes", Buffer.from([0, 254, 255])]);
  emitter.to("nowhere").emit("files:changed", {});
  emitter.of("/other").emit("files:changed", {});
  emitter.to("files").emit("server:sync", [null]);
  emitter.emit("everybody", { n: 1 });
  for (const page of pages) assert.deepEqual(await page.next(), ["everybody", { n: 1 }]);
  await client.close();
  await nothingMore(url, token, pages);
});

await scenario("python-socketio's Redis manager publishes to members on both workers", async (open) => {
  const pages = [];
  for (const name of NAMES) pages.push(await open(url, { token, cookie: cookie[name] }).join("files"));
  const data = { reason: "toggled", from: "Python", text: "žluť", list: [1, null] };
  await ask(`python ${JSON.stringify({ event: "files:changed", data, room: "files" })}`);
  for (const page of pages) assert.deepEqual(await page.next(), ["files:changed", data]);
  await ask(`python ${JSON.stringify({ event: "bytes", hex: "00feff", room: "files" })}`);
  for (const page of pages) assert.deepEqual(await page.next(), ["bytes", Buffer.from([0, 254, 255])]);
  await ask(`python ${JSON.stringify({ event: "everybody", data: 3, room: null })}`);
  for (const page of pages) assert.deepEqual(await page.next(), ["everybody", 3]);
  await nothingMore(url, token, pages);
});

await scenario("with Redis away each worker tells its own pages, and with it back all pages", async (open) => {
  const page = {};
  for (const name of NAMES) page[name] = await open(url, { token, cookie: cookie[name] }).join("files");
  await ask("stop redis");
  await until("both have noticed", async () => !(await linked("one")) && !(await linked("two")));
  for (const name of NAMES) {
    const seq = await publish(workers[name], token, { event: "files:changed", reason: "updated", id: name });
    assert.equal((await page[name].next())[1].seq, seq);
  }
  await ask("start redis");
  await allLinked();
  const seq = await publish(workers.one, token, { event: "files:changed", reason: "updated", id: "together" });
  for (const name of NAMES) assert.equal((await page[name].next())[1].seq, seq, "nothing of the outage comes later");
  for (const name of NAMES) assert.equal(page[name].connects, 1, "no page has lost its connection");
  await nothingMore(url, token, Object.values(page));
});

await scenario("workers are killed and restarted in turn under load, and nobody misses the final state", async (open) => {
  // What pages show: as an application's database would have it.
  let version = 0;
  const pages = [];
  for (let n = 0; n < 12; n++) {
    const page = open(url, { token, cookie: cookie[NAMES[n % 2]], ...WAYS[n % WAYS.length] });
    page.seen = -1;
    page.refresh = () => (page.seen = version);
    page.socket.on("files:changed", page.refresh);
    page.socket.on("connect", () => page.socket.emit("files:join", { ts: Date.now() }, page.refresh));
    pages.push(page);
  }
  await until("all have joined", () => pages.every((page) => page.seen >= 0));
  let loaded = true;
  const load = (async () => {
    while (loaded) {
      version += 1;
      const change = { event: "files:changed", reason: "updated", id: version };
      await until("a worker takes it", () => publish(url, token, change).then(() => true, () => false));
    }
  })();
  const writer = open(documents, { token });
  writer.socket.on("connect", () => writer.socket.emit("client:info", { clientId: "killed", collections: ["kept"] }));
  const written = [];
  const writing = (async () => {
    while (loaded) {
      const document = { id: `k${written.length}`, n: written.length };
      const event = insert("kept", document, "killed");
      await until("the hub has it", () => {
        if (!writer.socket.connected) return false;
        const sent = writer.socket.timeout(2_000).emitWithAck("client:sync", [event]);
        return sent.then(({ success }) => success, () => false);
      });
      written.push(document);
    }
  })();
  for (const [how, name] of [["kill", "one"], ["kill", "two"], ["stop", "one"], ["stop", "two"]]) {
    const [at, kept] = [version, written.length];
    await ask(`${how} ${name}`);
    await until("all pages are on the other worker", async () => {
      const other = NAMES.find((other) => other !== name);
      return (await members(other)) === pages.length;
    });
    await until("the load goes on", () => version > at + 20);
    await ask(`start ${name}`);
    await until("documents are taken again", () => written.length > kept + 5);
  }
  await allLinked();
  loaded = false;
  await Promise.all([load, writing]);
  await until("all show the final state", () => pages.every((page) => page.seen === version));
  pages.forEach((page) => {
    assert(page.connects >= 3, "each has lost a worker twice");
    assert(!page.reasons.includes("io server disconnect"), "after that one a client would not come back");
  });

  const reader = open(documents, { token });
  await reader.connected();
  reader.socket.emit("client:info", { clientId: "reader", collections: ["kept"] });
  const kept = () => reader.heard.flatMap(([, list]) => list.filter(({ type }) => type === "insert").map(({ data }) => data));
  await until("what was acknowledged is there", () => kept().length >= written.length);
  const inOrder = kept().sort((a, b) => a.n - b.n);
  assert.deepEqual(inOrder, written);
});

process.exit();
