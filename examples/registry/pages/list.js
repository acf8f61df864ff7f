/**
 * The page of one register: search, table, editor.
 *
 * Owns the rows on screen. A refresh patches them by id and leaves everything else alone.
 */

import { edit, isOwn } from "./editor.js";
import { all, get, load } from "./hub.js";
import { html, icon } from "./html.js";
import { avatar } from "./people.js";
import { fillWithSamples } from "./sample.js";
import { toast } from "./toast.js";

const { SyncManager } = window;

/** Builds the page of a register. */
export function listPage(list) {
  const main = document.querySelector("#main");
  main.innerHTML = frame(list);
  const search = main.querySelector("#search");
  const body = main.querySelector("tbody");
  const show = () => rows(list, body, search.value);
  search.addEventListener("input", show);
  body.addEventListener("click", ({ target }) => {
    const row = target.closest("tr");
    if (row) edit(list, get(list.room, row.dataset.id));
  });
  main.querySelector("#add").addEventListener("click", () => edit(list));
  main.querySelector("#fill").addEventListener("click", () => fillWithSamples());
  const refresh = async (events = []) => {
    const told = events.filter(({ id, data }) => id !== null && !data?.soft);
    const newest = new Map(told.map((event) => [event.id, event]));
    const before = new Map([...newest.keys()].map((id) => [id, get(list.room, id)]));
    await load();
    flash(show());
    tell(list, newest, before);
  };
  return { refresh };
}

function frame({ title, about, one, columns, icon: symbol }) {
  const head = ({ head: text, minor }) => html`<th scope="col" class="${minor ? "minor" : ""}">${text}</th>`;
  return html`
    <header class="head"><div><h1>${title}</h1><p>${about}</p></div>
      <div class="actions"><button id="add" class="button primary" type="button">${icon("plus")}New ${one}</button></div>
    </header>
    <section class="card">
      <div class="tools"><label class="search">${icon("search")}<input id="search" type="search" name="search" placeholder="Search ${title.toLowerCase()}" autocomplete="off" aria-label="Search"></label><span id="count" class="count"></span></div>
      <table id="table"><thead><tr>${columns.map(head)}</tr></thead><tbody></tbody></table>
      <div id="empty" class="empty" hidden><span class="tile">${icon(symbol)}</span><strong></strong><span></span>
        <button id="fill" class="button" type="button">${icon("spark")}Fill the registry with examples</button></div>
    </section>`;
}

function rows({ room, title, columns, one }, body, sought) {
  const documents = all(room).sort((a, b) => nameOf(a).localeCompare(nameOf(b), "en", { numeric: true }));
  const words = sought.trim().toLowerCase();
  const row = (doc) => html`<tr>${columns.map(({ show, minor }) => html`<td class="${minor ? "minor" : ""}">${show(doc)}</td>`)}</tr>`;
  const found = documents.filter((doc) => !words || row(doc).toLowerCase().replace(/<[^>]*>/g, " ").includes(words));
  const patched = SyncManager.patchList(body, found, { render: (doc) => String(row(doc)) });
  document.querySelector("#table").hidden = found.length === 0;
  document.querySelector("#count").textContent =
    found.length === documents.length ? `${documents.length} ${documents.length === 1 ? one : title.toLowerCase()}` : `${found.length} of ${documents.length}`;
  const empty = document.querySelector("#empty");
  empty.hidden = found.length > 0;
  empty.querySelector("strong").textContent = words ? "Nothing found" : `No ${title.toLowerCase()} yet`;
  empty.querySelector("strong + span").textContent = words ? `No ${one} matches “${sought.trim()}”.` : `The first ${one} that anybody adds appears here.`;
  empty.querySelector("button").hidden = words !== "" || [...document.querySelectorAll("#nav b")].some((b) => Number(b.textContent) > 0);
  return patched;
}

/** Documents may come from anywhere, also without a name. */
function nameOf({ name }) {
  return String(name ?? "");
}

/** What is new or different lights up for a moment; a whole page that is new does not. */
function flash({ added, updated }) {
  if (document.documentElement.dataset.ready !== "yes") return;
  const color = getComputedStyle(document.documentElement).getPropertyValue("--flash");
  for (const row of [...added, ...updated].slice(0, 40)) {
    row.animate([{ backgroundColor: color }, { backgroundColor: color, offset: 0.3 }, { backgroundColor: "transparent" }], 1800);
  }
}

/** Tells what others did: `before` is what stood there, for the name of what is gone. */
function tell(list, newest, before) {
  if (newest.size > 3) return void toast(html`<b>${newest.size}</b> ${list.title.toLowerCase()} changed`);
  for (const { id, reason } of newest.values()) {
    const doc = get(list.room, id) ?? before.get(id);
    if (!doc || isOwn(list.room, id)) continue;
    const what = reason === "added" ? "added" : "changed";
    const did = reason === "deleted" ? html`was removed` : html`was ${what} by ${doc.by ?? "somebody"}`;
    toast(html`<b>${doc.name}</b> ${did}`, avatar(doc.by ?? "?"));
  }
  return undefined;
}
