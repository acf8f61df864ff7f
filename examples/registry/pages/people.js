/**
 * Who sits in front of this window, and how people look.
 *
 * Owns the name that a window was given. Must never take it for an identity: the hub knows tokens.
 */

import { html } from "./html.js";

const FIRST = ["Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Katya", "Leo"];
const LAST = ["Adler", "Brandt", "Costa", "Doyle", "Egger", "Fischer", "Grau", "Holm", "Ivanov", "Jansen", "Klein", "Lund"];

/** The name of this window; a second window is another person. */
export function me() {
  let name = sessionStorage.getItem("name");
  if (!name) {
    const pick = (names) => names[Math.floor(Math.random() * names.length)];
    name = `${pick(FIRST)} ${pick(LAST)}`;
    sessionStorage.setItem("name", name);
  }
  return name;
}

/** A circle with initials, in the person's colour. */
export function avatar(name, attributes = "") {
  const initials = name.split(/\s+/).map((word) => word[0] ?? "").slice(0, 2).join("").toUpperCase();
  let hue = 0;
  for (const sign of name) hue = (hue * 31 + sign.codePointAt(0)) % 360;
  const [key, value] = attributes.split("=");
  const extra = key ? html`${key}="${value}"` : "";
  return html`<span class="avatar" ${extra} title="${name}" style="background:hsl(${hue} 52% 46%)">${initials}</span>`;
}

/** `3 min ago`. */
export function ago(at) {
  const seconds = Math.max(0, (Date.now() - at) / 1000);
  if (seconds < 45) return "just now";
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
  for (const [unit, size] of [["day", 86_400], ["hour", 3_600], ["minute", 60]]) {
    if (seconds >= size * 0.75) return format.format(-Math.round(seconds / size), unit);
  }
  return "just now";
}
