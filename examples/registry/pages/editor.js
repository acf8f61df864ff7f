/**
 * The dialog in which a document is written.
 *
 * Owns the form. Must never send a field that its person did not change: then edits of two people
 * meet without loss.
 */

import { get, insertion, push, removal, update } from "./hub.js";
import { html, icon } from "./html.js";
import { me } from "./people.js";
import { toast } from "./toast.js";

/** What this window wrote a moment ago: events about it are no news here. */
const own = new Map();
const OWN_MS = 4_000;

/** Whether the newest change of a document was made in this window. */
export function isOwn(collection, id) {
  return Date.now() - (own.get(`${collection} ${id}`) ?? 0) < OWN_MS;
}

/** Opens the editor, for a new document where none is given. */
export function edit(list, doc) {
  document.querySelector("#editor")?.remove();
  const dialog = document.createElement("dialog");
  dialog.id = "editor";
  dialog.innerHTML = frame(list, doc);
  document.body.append(dialog);
  const form = dialog.querySelector("form");
  const stop = doc ? watch(list, doc, dialog) : () => {};
  const shut = () => dialog.close();
  dialog.querySelectorAll("[data-close]").forEach((button) => button.addEventListener("click", shut));
  dialog.querySelector("#remove")?.addEventListener("click", () => {
    void keep(list, doc._id, removal(list.room, doc._id), html`Removed <b>${doc.name}</b>`);
    shut();
  });
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    save(list, doc, form);
    shut();
  });
  dialog.addEventListener("close", () => {
    stop();
    dialog.remove();
  });
  dialog.showModal();
}

function frame({ one, fields, icon: symbol }, doc) {
  const inputs = fields.map((field, index) => input(field, doc, index === 0 ? html`autofocus` : ""));
  return html`<form method="dialog">
    <div class="dialog-head"><span class="tile">${icon(symbol)}</span><h2>${doc ? `Edit ${one}` : `New ${one}`}</h2>
      <button class="icon-button" type="button" data-close aria-label="Close">${icon("close")}</button></div>
    <div class="notice" hidden><span></span><button type="button">Show</button></div>
    <div class="fields">${inputs}</div>
    <div class="dialog-end">${doc ? html`<button id="remove" class="button danger" type="button">${icon("bin")}Remove</button>` : ""}
      <button class="button" type="button" data-close>Cancel</button><button class="button primary" type="submit">Save</button></div>
  </form>`;
}

function input({ key, label, type = "text", wide, required, options }, doc, first) {
  const value = doc?.[key] ?? (type === "color" ? "#6366f1" : type === "number" ? 1 : "");
  const needed = required ? html`required` : "";
  if (type === "checkbox") {
    return html`<label class="check"><input type="checkbox" name="${key}" ${(doc?.[key] ?? true) ? html`checked` : ""}>${label}</label>`;
  }
  const field = options
    ? html`<select name="${key}">${options().map(([id, text]) => html`<option value="${id}" ${id === value ? html`selected` : ""}>${text}</option>`)}</select>`
    : type === "textarea"
      ? html`<textarea name="${key}">${value}</textarea>`
      : html`<input type="${type}" name="${key}" value="${value}" ${needed} ${first} autocomplete="off">`;
  return html`<label class="${wide ? "wide" : ""}">${label}${field}</label>`;
}

function save(list, doc, form) {
  const values = Object.fromEntries(list.fields.map(({ key, type }) => [key, valueOf(form.elements[key], type)]));
  const signed = { by: me(), at: Date.now() };
  if (!doc) {
    const op = insertion(list.room, { ...values, ...signed });
    return void keep(list, op.id, op, html`Added <b>${values.name}</b>`);
  }
  const changed = Object.entries(values).filter(([key, value]) => value !== (doc[key] ?? ""));
  if (changed.length === 0) return undefined;
  const op = update(list.room, doc._id, { ...Object.fromEntries(changed), ...signed });
  return void keep(list, doc._id, op, html`Saved <b>${values.name}</b>`);
}

function valueOf(field, type) {
  if (type === "checkbox") return field.checked;
  return type === "number" ? Number(field.value) : field.value;
}

async function keep(list, id, op, done) {
  const note = () => own.set(`${list.room} ${id}`, Date.now());
  note();
  let waiting;
  try {
    await push([op], () => {
      waiting = toast(html`The hub cannot be reached. Your change is kept and sent as soon as it can.`);
    });
    note();
    toast(done);
  } catch (error) {
    toast(html`Not saved: ${error.message}`);
  } finally {
    waiting?.();
  }
}

/** Says so when somebody else changes the document meanwhile; what is typed stays. */
function watch(list, doc, dialog) {
  const notice = dialog.querySelector(".notice");
  const look = () => {
    const now = get(list.room, doc._id);
    if (now && now.lsn === doc.lsn) return;
    notice.hidden = false;
    notice.querySelector("span").textContent = now ? `${now.by ?? "Somebody"} changed this meanwhile.` : "Somebody removed this meanwhile.";
    notice.querySelector("button").hidden = !now;
  };
  notice.querySelector("button").addEventListener("click", () => edit(list, get(list.room, doc._id)));
  document.addEventListener("registry:read", look);
  return () => document.removeEventListener("registry:read", look);
}
