/**
 * Short messages in the corner.
 *
 * Owns how long they stay. Must never hold up what it tells about.
 */

import { html } from "./html.js";

const STAY_MS = 4_500;
const MOST = 4;

/** Shows a message (a template); the returned function takes it away at once. */
export function toast(message, figure = "") {
  const shelf = document.querySelector("#toasts");
  const entry = document.createElement("div");
  entry.className = "toast";
  entry.innerHTML = html`${figure}<span>${message}</span>`;
  shelf.append(entry);
  while (shelf.children.length > MOST) shelf.firstElementChild.remove();
  const leave = () => {
    entry.classList.add("going");
    setTimeout(() => entry.remove(), 400);
  };
  setTimeout(leave, STAY_MS);
  return leave;
}
