/**
 * The frame around every page: navigation, connection, theme, and which page this is.
 *
 * Owns the start. Must never know what a page shows.
 */

import { admin } from "./admin.js";
import { counts } from "./hub.js";
import { html, icon } from "./html.js";
import { home } from "./home.js";
import { listPage } from "./list.js";
import { avatar, me } from "./people.js";
import { lists } from "./registers.js";

const { SyncManager } = window;

const PAGES = [
  { path: "/", room: "index", title: "Overview", icon: "home", open: home },
  ...lists.map((list) => ({ path: `/${list.room}`, ...list, open: () => listPage(list) })),
  { path: "/admin", room: "admin", title: "Admin", icon: "admin", open: admin },
];

const STATES = {
  idle: "Not connected",
  connecting: "Connecting",
  connected: "Live",
  reconnecting: "Reconnecting",
  refused: "Not admitted",
};

const page = PAGES.find(({ path }) => path === location.pathname) ?? PAGES[0];

async function start() {
  SyncManager.init({ token: document.querySelector("meta[name=registry-token]").content });
  frame();
  const { refresh, listen } = await page.open(document.querySelector("#main"));
  const show = async (events) => {
    await refresh(events);
    number();
  };
  SyncManager.onSoftRefresh(`${page.room}:changed`, show);
  SyncManager.startIdleGuard(show);
  listen?.();
  // What changed between the first look and the joining is seen by the second look. Neither throws: a page that
  // finds no hub is filled when it is back.
  const joined = SyncManager.joinRoom(page.room);
  await SyncManager.keepPage(show);
  await joined;
  await SyncManager.keepPage(show);
  document.documentElement.dataset.ready = "yes";
}

function frame() {
  document.title = `${page.title} · Registry`;
  const link = ({ path, title, icon: name }) => html`
    <a href="${path}" ${path === page.path ? html`aria-current="page"` : ""}>${icon(name)}<span>${title}</span><b></b></a>`;
  document.querySelector("#nav").innerHTML = html`${PAGES.map(link)}`;
  document.querySelector("#avatar").outerHTML = avatar(me(), "id=avatar");
  document.querySelector("#name").textContent = me();
  SyncManager.onConnectionState((state) => {
    const shown = document.querySelector("#link");
    shown.dataset.state = state;
    shown.querySelector("span").textContent = STATES[state];
  });
  const theme = document.querySelector("#theme");
  theme.innerHTML = icon("theme");
  theme.addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const { dataset } = document.documentElement;
    dataset.theme = (dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
    localStorage.setItem("theme", dataset.theme);
  });
}

/** How many there are of each, beside its name. */
function number() {
  const known = counts();
  for (const { path, room } of PAGES) {
    document.querySelector(`#nav a[href="${path}"] b`).textContent = known.get(room) ?? "";
  }
}

void start();
