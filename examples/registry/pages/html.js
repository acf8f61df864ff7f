/**
 * HTML from data.
 *
 * Owns escaping: whatever is put into a template is text, unless it is a template itself.
 */

class Html extends String {}

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** A template whose values are escaped. */
export function html(parts, ...values) {
  const filled = parts.map((part, index) => part + (index < values.length ? text(values[index]) : ""));
  return new Html(filled.join("").trim());
}

function text(value) {
  if (value instanceof Html) return String(value);
  if (Array.isArray(value)) return value.map(text).join("");
  return String(value ?? "").replace(/[&<>"']/g, (sign) => ENTITIES[sign]);
}

const PATHS = {
  home: "M4 11.5 12 5l8 6.5V19a1 1 0 0 1-1 1h-4.5v-5h-5v5H5a1 1 0 0 1-1-1z",
  files: "M7 3.5h7l4.5 4.5v12.5H7zM14 3.5V8h4.5M10 12.5h5.5M10 16h5.5",
  users: "M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 19.5c.4-3.4 2.8-5.2 6-5.2s5.6 1.8 6 5.2M16 4.8a3.4 3.4 0 0 1 0 6.4M17.8 14.6c2 .6 3.1 2.2 3.3 4.5",
  groups: "M12 3.5 20.5 8 12 12.5 3.5 8zM3.8 12.3 12 16.6l8.2-4.3M3.8 16.5 12 20.8l8.2-4.3",
  categories: "M11.5 4H5a1 1 0 0 0-1 1v6.5l8.8 8.3a1 1 0 0 0 1.4 0l5.6-5.6a1 1 0 0 0 0-1.4zM8.2 8.2h.01",
  registrators: "M5 20.5h14M6.5 17h11v-2.5c0-1-.8-1.5-2-1.5H14l-.6-3.5a3 3 0 1 0-2.8 0L10 13H8.5c-1.2 0-2 .5-2 1.5z",
  admin: "M5 7h8M17 7h2M5 12h2M11 12h8M5 17h7M16 17h3M15 5v4M9 10v4M14 15v4",
  theme: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6 6 18",
  spark: "M12 4v4M12 16v4M4 12h4M16 12h4M6.5 6.5l2.5 2.5M15 15l2.5 2.5M17.5 6.5 15 9M9 15l-2.5 2.5",
  bin: "M5 7h14M10 7V5h4v2M7 7l.8 12.5h8.4L17 7M10.5 11v5M13.5 11v5",
};

/** A line icon of 20 pixels. */
export function icon(name) {
  return html`<svg width="20" height="20" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="${PATHS[name]}"/></svg>`;
}
