/**
 * The page for whoever looks after it all: the connection, the events, and some load.
 *
 * Owns the list of events seen here. It is in every room, so it sees what every page is told.
 */

import { all, COLLECTIONS, load, push, removal, update } from "./hub.js";
import { html, icon } from "./html.js";
import { me } from "./people.js";
import { fillWithSamples } from "./sample.js";
import { toast } from "./toast.js";

const { SyncManager } = window;
const MOST_EVENTS = 200;
const CHANGES = 20;

/** Builds the page. */
export function admin(main) {
  main.innerHTML = html`
    <header class="head"><div><h1>Admin</h1><p>How this page hears of changes, and a way to make some.</p></div></header>
    <div class="two">
      <section class="card"><div class="card-head"><h2>Events</h2><small id="heard">none yet</small></div>
        <ul id="log" class="log"></ul>
        <div id="quiet" class="empty"><span class="tile">${icon("admin")}</span><strong>Nothing has happened yet</strong><span>Change something in another window.</span></div></section>
      <div class="stack">
        <section class="card"><div class="card-head"><h2>Connection</h2></div><dl id="facts" class="facts"></dl></section>
        <section class="card"><div class="card-head"><h2>Try it</h2></div><div class="choices">
          <button id="fill" class="button" type="button">${icon("spark")}Add examples</button>
          <button id="churn" class="button" type="button">Make ${CHANGES} changes</button>
          <button id="clear" class="button danger" type="button">${icon("bin")}Remove everything</button></div></section>
        <section class="card"><div class="card-head"><h2>Windows by page</h2></div><dl id="where" class="facts"></dl></section>
      </div>
    </div>`;
  main.querySelector("#fill").addEventListener("click", () => fillWithSamples());
  main.querySelector("#churn").addEventListener("click", () => churn());
  main.querySelector("#clear").addEventListener("click", () => clear());
  const refresh = async () => {
    await load();
    facts();
  };
  return { refresh, listen };
}

let heard = 0;
const openedAt = Date.now();

function listen() {
  for (const room of ["index", ...COLLECTIONS]) void SyncManager.joinRoom(room);
  for (const room of ["index", ...COLLECTIONS, "admin"]) SyncManager.on(`${room}:changed`, told);
  SyncManager.onConnectionState(facts);
  setInterval(facts, 1000);
  setInterval(where, 2000);
}

/** This page is in every room itself, so it counts itself out. */
async function where() {
  if (document.visibilityState === "hidden") return;
  const rooms = ["index", ...COLLECTIONS, "admin"];
  const present = await Promise.all(rooms.map((room) => SyncManager.presence(room)));
  const here = Math.max(1, present.at(-1) ?? 1);
  const entries = rooms.map((room, index) => {
    const others = room === "admin" ? here : Math.max(0, (present[index] ?? here) - here);
    return html`<dt>${room}</dt><dd>${others}</dd>`;
  });
  SyncManager.morph(document.querySelector("#where"), String(html`<dl id="where" class="facts">${entries}</dl>`));
}

function told({ reason, seq, worker, id, data }, { event, late }) {
  heard += 1;
  const log = document.querySelector("#log");
  const line = document.createElement("li");
  const time = new Date(seq).toLocaleTimeString("en-GB", { hour12: false });
  line.innerHTML = html`<small>${time}</small><b>${event}</b><span>${reason} ${id ?? ""} ${data?.soft ? `(soft, by ${data.source})` : ""}${late ? " late" : ""}</span><small>worker ${worker}</small>`;
  log.prepend(line);
  while (log.children.length > MOST_EVENTS) log.lastElementChild.remove();
  document.querySelector("#quiet").hidden = true;
  document.querySelector("#heard").textContent = `${heard} heard`;
}

function facts() {
  const socket = SyncManager.getSocket();
  const told = {
    State: SyncManager.getConnectionState(),
    Transport: socket?.io.engine?.transport?.name ?? "none",
    Session: socket?.id ?? "none",
    Window: me(),
    Documents: COLLECTIONS.reduce((sum, collection) => sum + all(collection).length, 0),
    Opened: new Date(openedAt).toLocaleTimeString("en-GB", { hour12: false }),
  };
  const entries = Object.entries(told).map(([key, value]) => html`<dt>${key}</dt><dd>${value}</dd>`);
  SyncManager.morph(document.querySelector("#facts"), String(html`<dl id="facts" class="facts">${entries}</dl>`));
}

async function churn() {
  const files = all("files");
  if (files.length === 0) return void toast(html`There are no files to change: add the examples first.`);
  for (let turn = 0; turn < CHANGES; turn += 1) {
    const file = files[Math.floor(Math.random() * files.length)];
    const status = ["draft", "review", "signed"][Math.floor(Math.random() * 3)];
    await push([update("files", file._id, { status, by: me(), at: Date.now() })]);
  }
  return void toast(html`Made <b>${CHANGES}</b> changes`);
}

async function clear() {
  const ops = COLLECTIONS.flatMap((collection) => all(collection).map(({ _id }) => removal(collection, _id)));
  if (ops.length === 0 || !confirm(`Remove ${ops.length} documents?`)) return;
  await push(ops);
  toast(html`Removed <b>${ops.length}</b> documents`);
}
