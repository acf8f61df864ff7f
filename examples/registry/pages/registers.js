/**
 * The five registers: what their documents are called, how rows show them, how they are edited.
 *
 * Owns the descriptions. Must never touch the page or the hub's HTTP.
 */

import { all, get } from "./hub.js";
import { html, icon } from "./html.js";
import { ago, avatar } from "./people.js";

const STATUS = { draft: ["", "Draft"], review: ["warn", "In review"], signed: ["good", "Signed"] };

const name = (collection, id) => get(collection, id)?.name ?? "—";
const named = (collection) => () => all(collection).map((doc) => [doc._id, doc.name]).sort(byText);
const byText = ([, a], [, b]) => a.localeCompare(b);
const dot = (color, text) => html`<span class="chip"><i style="background:${color}"></i>${text}</span>`;
const files = (field) => (doc) => all("files").filter((file) => file[field] === doc._id).length;
const edited = { head: "Changed", minor: true, show: ({ at, by }) => html`${ago(at)}<span class="sub">${by}</span>` };

const title = (symbol, sub) => (doc) => html`
  <span class="cell"><span class="tile">${icon(symbol)}</span><span>
    <button class="title" type="button">${doc.name}</button><span class="sub">${sub(doc)}</span></span></span>`;

/** In the order of the navigation. */
export const lists = [
  {
    room: "files",
    title: "Files",
    one: "file",
    icon: "files",
    about: "Every document of the house, and where it stands.",
    columns: [
      { head: "Name", show: title("files", ({ pages }) => `${pages ?? 1} pages`) },
      {
        head: "Category",
        minor: true,
        show: ({ category }) => dot(get("categories", category)?.color ?? "#94a3b8", name("categories", category)),
      },
      { head: "Registrator", minor: true, show: ({ registrator }) => name("registrators", registrator) },
      {
        head: "Status",
        show: ({ status }) => html`<span class="chip ${STATUS[status]?.[0]}">${STATUS[status]?.[1] ?? status}</span>`,
      },
      edited,
    ],
    fields: [
      { key: "name", label: "Name", wide: true, required: true },
      { key: "category", label: "Category", options: named("categories") },
      { key: "registrator", label: "Registrator", options: named("registrators") },
      { key: "status", label: "Status", options: () => Object.entries(STATUS).map(([key, [, text]]) => [key, text]) },
      { key: "pages", label: "Pages", type: "number" },
      { key: "note", label: "Note", type: "textarea", wide: true },
    ],
  },
  {
    room: "users",
    title: "Users",
    one: "user",
    icon: "users",
    about: "People who may open the registry.",
    columns: [
      {
        head: "Name",
        show: (doc) => html`<span class="cell">${avatar(doc.name)}<span>
          <button class="title" type="button">${doc.name}</button><span class="sub">${doc.email}</span></span></span>`,
      },
      { head: "Group", show: ({ group }) => dot(get("groups", group)?.color ?? "#94a3b8", name("groups", group)) },
      {
        head: "Access",
        show: ({ active }) => html`<span class="chip ${active ? "good" : ""}">${active ? "Active" : "Paused"}</span>`,
      },
      edited,
    ],
    fields: [
      { key: "name", label: "Name", required: true },
      { key: "email", label: "Mail", type: "email" },
      { key: "group", label: "Group", options: named("groups") },
      { key: "active", label: "May sign in", type: "checkbox" },
    ],
  },
  {
    room: "groups",
    title: "Groups",
    one: "group",
    icon: "groups",
    about: "Teams, and who belongs to them.",
    columns: [
      { head: "Name", show: title("groups", ({ note }) => note || "No description") },
      { head: "Colour", minor: true, show: ({ color }) => dot(color, color) },
      {
        head: "Members",
        show: (doc) => html`<span class="chip">${all("users").filter(({ group }) => group === doc._id).length}</span>`,
      },
      edited,
    ],
    fields: [
      { key: "name", label: "Name", required: true },
      { key: "color", label: "Colour", type: "color" },
      { key: "note", label: "Description", type: "textarea", wide: true },
    ],
  },
  {
    room: "categories",
    title: "Categories",
    one: "category",
    icon: "categories",
    about: "How files are sorted. A change shows in Files at once.",
    columns: [
      { head: "Name", show: title("categories", ({ note }) => note || "No description") },
      { head: "Colour", show: ({ color }) => dot(color, color) },
      { head: "Files", show: (doc) => html`<span class="chip">${files("category")(doc)}</span>` },
      edited,
    ],
    fields: [
      { key: "name", label: "Name", required: true },
      { key: "color", label: "Colour", type: "color" },
      { key: "note", label: "Description", type: "textarea", wide: true },
    ],
  },
  {
    room: "registrators",
    title: "Registrators",
    one: "registrator",
    icon: "registrators",
    about: "Offices that enter files. A change shows in Files at once.",
    columns: [
      { head: "Name", show: title("registrators", ({ place }) => place || "No place") },
      { head: "Code", show: ({ code }) => html`<span class="chip">${code}</span>` },
      { head: "Files", show: (doc) => html`<span class="chip">${files("registrator")(doc)}</span>` },
      edited,
    ],
    fields: [
      { key: "name", label: "Name", required: true },
      { key: "code", label: "Code" },
      { key: "place", label: "Place", wide: true },
    ],
  },
];

/** The description of a collection. */
export function register(collection) {
  return lists.find(({ room }) => room === collection);
}
