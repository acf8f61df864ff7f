// Event sync while a hub is backed up, killed and brought back. The first line of standard input says where the hub
// is: {url, token}.

import assert from "node:assert/strict";
import { PATIENCE_MS, ask, scenario, told, until } from "./kit.mjs";

const { url, token } = await told();
const options = { token, transports: ["websocket"] };

/** A client of event sync: the documents that it shows, and what the hub has not acknowledged. */
function client(page, id) {
  const it = { shows: new Map(), pending: [], made: 0, fills: 0 };
  const flush = async () => {
    const sent = [...it.pending];
    if (!page.socket.connected || sent.length === 0) return;
    const reply = await page.socket.timeout(PATIENCE_MS).emitWithAck("client:sync", sent);
    if (reply.success) it.pending = it.pending.filter((event) => !sent.includes(event));
  };
  const send = () => flush().catch(() => {}); // what is not acknowledged is sent again with the next connection
  page.socket.on("connect", () => {
    page.socket.emit("client:info", { clientId: id, collections: ["users"] });
    send();
  });
  page.socket.on("server:sync", (events) => {
    it.fills += 1;
    for (const { type, data, query } of events) {
      if (type === "insert") it.shows.set(data.id, data);
      else it.shows.delete(query.id);
    }
  });
  it.insert = (name) => {
    const data = { id: name, by: id };
    it.shows.set(name, data);
    const event = { id: `${id}-${(it.made += 1)}`, type: "insert", collection: "users", documentId: name, data };
    it.pending.push({ ...event, timestamp: Date.now(), clientId: id });
    send();
  };
  it.settled = () => until("the hub acknowledges everything", () => it.pending.length === 0);
  return it;
}

await scenario("a restoration takes nothing from a client, and what it could not send arrives", async (open) => {
  const page = open(url, options);
  const [one, other] = [client(page, "one"), client(open(url, options), "other")];
  one.insert("saved");
  await one.settled();
  await until("the other hears of it", () => other.shows.has("saved"));
  await ask("backup");
  one.insert("after the backup");
  await one.settled();
  await until("the other hears of it", () => other.shows.has("after the backup"));

  await ask("kill");
  await until("the client is alone", () => !page.socket.connected);
  one.insert("meanwhile");
  one.fills = 0;
  await ask("restore");

  await one.settled();
  await until("it is told again what stands", () => one.fills > 0);
  const newcomer = client(open(url, options), "newcomer");
  await until("a newcomer has what stands", () => newcomer.shows.has("saved") && newcomer.shows.has("meanwhile"));
  assert(!newcomer.shows.has("after the backup"), "what came after the backup is gone from the hub");
  await until("the other hears of it", () => other.shows.has("meanwhile"));
  for (const name of ["saved", "after the backup", "meanwhile"]) assert(one.shows.has(name), `${name} stays with it`);
});

process.exit();
