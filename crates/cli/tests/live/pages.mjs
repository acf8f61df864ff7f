// Pages and live clients with the real Socket.IO client, by every way that it has to connect, and requests that no
// client would send. The first line of standard input says where the hub is: {url, token, message_bytes}.

import assert from "node:assert/strict";
import { insert, nothingMore, publish, request, scenario, soon, told, until, upgraded } from "./kit.mjs";

const { url, token, message_bytes: MESSAGE_BYTES } = await told();
const ROOMS = ["index", "files", "users", "groups", "categories", "registrators", "admin"];
const REASONS = ["updated", "added", "deleted", "toggled"];
const POLLING = "/socket.io/?EIO=4&transport=polling";

const WAYS = [
  { way: "websocket", transports: ["websocket"] },
  { way: "polling", transports: ["polling"], upgrade: false },
  { way: "upgrade", transports: ["polling", "websocket"] },
];

for (const { way, ...how } of WAYS) {
  const options = { token, ...how };

  await scenario(`${way}: every member hears an event once, with six fields, and nobody else does`, async (open) => {
    const pages = [open(url, options), open(url, options), open(url, options), open(url, options)];
    const [one, two, stranger] = pages;
    await Promise.all([one.join("files"), two.join("files"), stranger.join("users"), pages[3].connected()]);
    await two.join("files");
    if (way === "upgrade") {
      await until("it is on a WebSocket", () => one.socket.io.engine.transport.name === "websocket");
    } else {
      assert.equal(one.socket.io.engine.transport.name, way);
    }

    const event = { event: "files:changed", reason: "toggled", id: "ž", data: { n: 1.5, deep: [null, "✓"] } };
    const seq = await publish(url, token, event);

    const [name, envelope] = await one.next();
    assert.equal(name, "files:changed");
    const { worker } = envelope;
    assert.equal(typeof worker, "number");
    assert.deepEqual(envelope, { reason: "toggled", seq, worker, scope: "room:files", id: "ž", data: event.data });
    assert.deepEqual(await two.next(), [name, envelope]);
    await nothingMore(url, token, pages);
  });

  await scenario(`${way}: seven rooms, four reasons, in order, with a clock that never stands`, async (open) => {
    const pages = await Promise.all(ROOMS.map((room) => open(url, options).join(room)));
    const began = Date.now();
    const sent = [];
    for (const room of ROOMS.filter((room) => !["categories", "registrators"].includes(room))) {
      for (const reason of REASONS) {
        sent.push([room, reason, await publish(url, token, { event: `${room}:changed`, reason, id: sent.length })]);
      }
    }
    const seqs = sent.map(([, , seq]) => seq);
    assert(seqs.every((seq, at) => at === 0 || seq > seqs[at - 1]), String(seqs));
    assert(seqs[0] >= began - 5_000 && seqs[0] <= Date.now() + 5_000, `${seqs[0]} is not near the clock`);
    for (const [at, room] of ROOMS.entries()) {
      for (const [, reason, seq] of sent.filter(([of]) => of === room)) {
        const [name, envelope] = await pages[at].next();
        assert.deepEqual([name, envelope.reason, envelope.seq], [`${room}:changed`, reason, seq]);
      }
    }
    await nothingMore(url, token, pages);
  });

  await scenario(`${way}: files are told softly of what they depend on, and nobody else is`, async (open) => {
    const [files, categories, users] = [open(url, options), open(url, options), open(url, options)];
    await Promise.all([files.join("files"), categories.join("categories"), users.join("users")]);
    await publish(url, token, { event: "categories:changed", reason: "added", id: 3 });
    assert.equal((await categories.next())[0], "categories:changed");
    const [name, envelope] = await files.next();
    assert.deepEqual([name, envelope.data], ["files:changed", { soft: true, source: "categories:changed" }]);
    await nothingMore(url, token, [files, categories, users]);
  });

  await scenario(`${way}: whatever a page sends to join, nobody is harmed`, async (open) => {
    const page = open(url, options);
    await page.connected();
    for (const payload of [null, "text", 7, [], [null], {}, { ts: "x" }, { room: {} }]) page.socket.emit("files:join", payload);
    page.socket.emit("files:join");
    page.socket.emit("nowhere:join", {});
    page.socket.emit("join", { room: "x".repeat(500) });
    page.socket.emit("join");
    assert.deepEqual(await page.call("join", "users"), { success: true, room: "users" });
    assert.equal((await page.call("join", { room: "nowhere" })).success, false);
    await publish(url, token, { event: "files:changed", reason: "updated" });
    assert.equal((await page.next())[0], "files:changed");
    assert.deepEqual(await page.call("leave", "files"), { success: true, room: "files" });
    await publish(url, token, { event: "files:changed", reason: "updated" });
    await nothingMore(url, token, [page]);
  });

  await scenario(`${way}: documents are acknowledged, reach others once, and never their author`, async (open) => {
    const collection = `notes-${way}`;
    const [author, reader] = [open(url, options), open(url, options)];
    assert.deepEqual(await author.call("client:sync", []), { success: false, error: "Client not registered" });
    author.socket.emit("client:info", { clientId: `author-${way}`, collections: [collection] });
    reader.socket.emit("client:info", { clientId: `reader-${way}`, collections: [collection] });
    const events = [1, 2, 3].map((n) => insert(collection, { id: `d${n}`, n, text: "žluť" }, `author-${way}`));
    for (let repeat = 0; repeat < 3; repeat++) {
      assert.deepEqual(await author.call("client:sync", events), { success: true });
    }
    const removal = { ...events[0], id: crypto.randomUUID(), type: "delete", query: { id: "d3" } };
    assert.deepEqual(await author.call("client:sync", [removal]), { success: true });

    const documents = new Map();
    await until("the reader has what stands", () => {
      for (const [name, list] of reader.heard.splice(0)) {
        assert(name === "server:sync" && Array.isArray(list) && list.length > 0, name);
        for (const { type, data, query } of list) {
          if (type === "insert") documents.set(data.id, data);
          else query.$and[0].id.$in.forEach((id) => documents.delete(id));
        }
      }
      return documents.size === 2 && documents.get("d2")?.n === 2 && !documents.has("d3");
    });
    assert.deepEqual(documents.get("d1"), { id: "d1", n: 1, text: "žluť" });
    assert.deepEqual(author.heard, []);
  });

  await scenario(`${way}: who has no valid token hears why, and nothing else`, async (open) => {
    const strangers = [
      [open(url, { ...options, token: "not-a-token-of-this-hub" }), "Authentication failed"],
      [open(url, { ...options, token: undefined }), "Authentication token required"],
      [open(url, { ...options, token: { odd: true } }), "Authentication failed"],
    ];
    for (const [page, why] of strangers) {
      await until("a refusal comes", () => page.errors.length > 0);
      assert.deepEqual(page.errors, [why]);
      page.socket.emit("files:join", {});
    }
    const page = await open(url, options).join("files");
    await publish(url, token, { event: "files:changed", reason: "updated" });
    await page.next();
    strangers.forEach(([stranger]) => assert.deepEqual([stranger.heard, stranger.socket.connected], [[], false]));
    const refused = await request(url, "POST", "/api/sync/emit", { token: "wrong", body: "{}" });
    assert.equal(refused.status, 401);
  });

  await scenario(`${way}: bytes and unknown events are refused or ignored, and the connection stays`, async (open) => {
    const page = await open(url, options).join("files");
    const bytes = await page.call("client:sync", [Buffer.from([0, 1, 254, 255])]);
    assert.equal(bytes.success, false);
    assert.match(bytes.error, /binary/);
    page.socket.emit("no such event", { any: "thing" }, Buffer.alloc(1_000));
    page.socket.emit("", 1, 2, 3);
    page.socket.emit("server:sync", [null]);
    await publish(url, token, { event: "files:changed", reason: "updated" });
    assert.equal((await page.next())[0], "files:changed");
    assert.equal(page.connects, 1);
  });

  await scenario(`${way}: a message over the limit ends its own connection, which comes back`, async (open) => {
    const [page, other] = [open(url, options), open(url, options)];
    await Promise.all([page.join("files"), other.join("files")]);
    if (way === "upgrade") await until("the upgrade is done", () => page.socket.io.engine.transport.name === "websocket");
    const gone = new Promise((left) => page.socket.once("disconnect", left));
    page.socket.emit("client:sync", ["x".repeat(MESSAGE_BYTES + 1_000)]);
    assert.match(await soon("it is cut off", gone), /transport/);
    await page.join("files");
    await publish(url, token, { event: "files:changed", reason: "updated" });
    for (const told of [page, other]) assert.equal((await told.next())[0], "files:changed");
    assert.deepEqual([page.connects, other.connects], [2, 1]);
  });
}

await scenario("requests that no client sends are refused, each by itself", async (open) => {
  const page = await open(url, { token }).join("files");
  for (const [method, path, statuses] of [
    ["GET", `${POLLING}&sid=AAAAAAAAAAAAAAAA`, [400]],
    ["POST", `${POLLING}&sid=AAAAAAAAAAAAAAAA`, [400]],
    ["GET", `${POLLING}&sid=..%2F..%00`, [400]],
    ["GET", "/socket.io/?EIO=3&transport=polling", [400]],
    ["GET", "/socket.io/?transport=polling", [400]],
    ["GET", "/socket.io/?EIO=4&transport=pigeon", [400]],
    ["GET", "/socket.io/?EIO=4", [400]],
    ["GET", "/socket.io/", [400]],
    ["GET", "/socket.io/?EIO=4&transport=websocket", [400, 426]],
    ["PUT", POLLING, [400, 405]],
    ["DELETE", POLLING, [400, 405]],
  ]) {
    const reply = await request(url, method, path);
    assert(statuses.includes(reply.status), `${method} ${path}: ${reply.status} ${reply.text}`);
  }
  const unknown = await request(url, "GET", `${POLLING}&sid=AAAAAAAAAAAAAAAA`);
  assert.deepEqual(unknown.json(), { code: "1", message: "Session ID unknown" });
  for (const body of ["", "9", "x", "40{", "4", "\x1e\x1e", "bAAAA", "b!!!", "3probe", "5", "\xff\xfe", "42[".repeat(2_000)]) {
    const opened = await request(url, "GET", POLLING);
    const { sid } = JSON.parse(opened.text.slice(1));
    const headers = { "content-type": "text/plain;charset=UTF-8" };
    const reply = await request(url, "POST", `${POLLING}&sid=${sid}`, { body, headers });
    assert(reply.status < 500, `${JSON.stringify(body.slice(0, 20))}: ${reply.status} ${reply.text}`);
  }
  await nothingMore(url, token, [page]);
  assert.equal(page.connects, 1);
});

await scenario("what is no WebSocket frame ends its own connection", async (open) => {
  const page = open(url, { token, transports: ["websocket"] });
  await page.join("files");
  const masked = (opcode, text) => Buffer.concat([Buffer.from([opcode, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
  for (const garbage of [
    Buffer.from([0x81, 0x02, 0x34, 0x30]), // a client that does not mask
    masked(0xf1, "40"), // bits that nobody agreed on
    masked(0x83, "40"), // a kind of frame that there is not
    masked(0x01, "40"), // a beginning without an end, and then another beginning
    masked(0x81, "\xff\xfe"),
    Buffer.from([0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), // longer than anything
    Buffer.alloc(5_000, 0xff),
    Buffer.from("GET / HTTP/1.1\r\n\r\n"),
  ]) {
    const socket = await upgraded(url);
    const closed = new Promise((done) => socket.once("close", done));
    socket.write(garbage);
    socket.write(masked(0x81, "9"));
    socket.write(masked(0x88, ""));
    socket.resume();
    await soon(`${garbage.toString("hex").slice(0, 40)} is the end`, closed);
  }
  await nothingMore(url, token, [page]);
  assert.equal(page.connects, 1);
});

process.exit();
