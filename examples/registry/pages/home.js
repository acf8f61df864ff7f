/**
 * The start page: how many, what happened last, and how files are sorted.
 *
 * Owns no data: everything is counted from what was last read.
 */

import { all, COLLECTIONS, counts, load } from "./hub.js";
import { html, icon } from "./html.js";
import { ago, avatar } from "./people.js";
import { lists, register } from "./registers.js";
import { fillWithSamples } from "./sample.js";

const { SyncManager } = window;
const NEWEST = 9;

/** Builds the page. */
export function home(main) {
  main.innerHTML = html`
    <header class="head"><div><h1>Overview</h1><p>What is in the registry, and what happened last.</p></div></header>
    <section class="numbers">${lists.map(number)}</section>
    <section id="start" class="card empty" hidden><span class="tile">${icon("spark")}</span><strong>An empty registry</strong>
      <span>Open a second window beside this one, then let the examples in: both fill at once.</span>
      <button id="fill" class="button primary" type="button">${icon("spark")}Fill it with examples</button></section>
    <div id="told" class="two">
      <section class="card"><div class="card-head"><h2>Last changes</h2></div><ul id="feed" class="feed"></ul></section>
      <section class="card"><div class="card-head"><h2>Files by category</h2></div><ul id="bars" class="bars"></ul></section>
    </div>`;
  main.querySelector("#fill").addEventListener("click", () => fillWithSamples());
  const refresh = async () => {
    await load();
    show();
  };
  return { refresh };
}

function number({ room, title, icon: symbol }) {
  return html`<a class="card" href="/${room}" id="number-${room}"><div class="tile">${icon(symbol)}</div><strong>0</strong><span>${title}</span></a>`;
}

function show() {
  const known = counts();
  for (const [room, count] of known) document.querySelector(`#number-${room} strong`).textContent = count;
  const isEmpty = [...known.values()].every((count) => count === 0);
  document.querySelector("#start").hidden = !isEmpty;
  document.querySelector("#told").hidden = isEmpty;
  const changes = COLLECTIONS.flatMap((collection) => all(collection).map((doc) => ({ ...doc, collection })));
  const newest = changes.sort((a, b) => b.at - a.at).slice(0, NEWEST);
  SyncManager.patchList(document.querySelector("#feed"), newest, { render: entry });
  const sizes = all("categories").map((doc) => ({ ...doc, count: all("files").filter(({ category }) => category === doc._id).length }));
  const most = Math.max(1, ...sizes.map(({ count }) => count));
  const bar = ({ name, color, count }) => String(html`<li><span>${name}</span><b>${count}</b>
    <span class="bar"><i style="width:${(100 * count) / most}%;background:${color}"></i></span></li>`);
  SyncManager.patchList(document.querySelector("#bars"), sizes.sort((a, b) => b.count - a.count), { render: bar });
}

function entry({ collection, name, by, at }) {
  return String(html`<li>${avatar(by ?? "?")}<p><b>${by ?? "Somebody"}</b> edited the ${register(collection).one} <b>${name}</b></p><time>${ago(at)}</time></li>`);
}
