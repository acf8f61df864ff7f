/**
 * The hub's HTTP, as far as these pages need it: reading collections and pushing edits.
 *
 * Owns this window's node, its op numbers, and the copy of what it last read. An edit is offered
 * until the hub has answered; the hub knows repeats by their number, so none counts twice.
 */

const token = document.querySelector("meta[name=registry-token]").content;
const headers = { authorization: `Bearer ${token}` };

/** Each window is a participant of its own: a copied tab must not go on with another's numbers. */
const node = `window-${crypto.randomUUID()}`;
const RETRY_MS = 1_000;

/** Every collection of this example. */
export const COLLECTIONS = ["files", "users", "groups", "categories", "registrators"];

const read = new Map(COLLECTIONS.map((name) => [name, new Map()]));
let seq = 0;
let lastStamp = 0;
let sending = Promise.resolve();

/** Reads everything anew. */
export async function load() {
  const reply = await fetch(`/sync/snapshot?node=${node}&collections=${COLLECTIONS}`, { headers });
  if (!reply.ok) throw new Error(`the hub answered ${reply.status} to a snapshot`);
  const fresh = new Map(COLLECTIONS.map((name) => [name, new Map()]));
  const lines = (await reply.text()).trimEnd().split("\n").map((line) => JSON.parse(line));
  if (!lines.at(-1).end) throw new Error("the snapshot was cut");
  for (const { op, collection, id, doc, lsn } of lines) {
    if (op === "put") fresh.get(collection)?.set(id, { ...doc, lsn });
  }
  for (const [name, documents] of fresh) read.set(name, documents);
  document.dispatchEvent(new Event("registry:read"));
}

/** The documents of a collection as last read. */
export function all(collection) {
  return [...read.get(collection).values()];
}

/** One document as last read. */
export function get(collection, id) {
  return read.get(collection).get(id);
}

/** How many documents each collection has. */
export function counts() {
  return new Map([...read].map(([name, documents]) => [name, documents.size]));
}

/** A new document. */
export function insertion(collection, fields) {
  const id = crypto.randomUUID();
  return { op: "insert", collection, id, doc: { _id: id, ...fields } };
}

/** Other values for some fields; fields that are not named stay as others leave them. */
export function update(collection, id, set) {
  return { op: "update", collection, id, base: get(collection, id)?.lsn ?? 0, set };
}

/** A removal. */
export function removal(collection, id) {
  return { op: "remove", collection, id, base: get(collection, id)?.lsn ?? 0 };
}

/** Pushes edits, in order, until the hub has taken them; `waiting` is called when that takes a while. */
export function push(ops, waiting = () => {}) {
  const batch = {
    node,
    batchId: crypto.randomUUID(),
    ops: ops.map((op) => ({ seq: (seq += 1), stamp: stamp(), ...op })),
  };
  const sent = sending.then(() => offer(batch, waiting));
  sending = sent.catch(() => {});
  return sent;
}

async function offer(batch, waiting) {
  const body = JSON.stringify(batch);
  for (let told = false; ; ) {
    const reply = await fetch("/sync/push", { method: "POST", headers, body }).catch(() => null);
    if (reply?.ok) {
      const { receipts } = await reply.json();
      const rejected = receipts.find(({ result }) => result === "rejected");
      if (rejected) throw new Error(rejected.reason);
      return receipts;
    }
    if (reply && reply.status < 500 && reply.status !== 408) throw new Error((await reply.json()).error);
    if (!told) waiting();
    told = true;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** Milliseconds and a counter in one number, as the protocol has it. */
function stamp() {
  lastStamp = Math.max(lastStamp + 1, Date.now() * 1024);
  return lastStamp;
}
