/**
 * Showing new data in an old page: lists by id, and elements made alike.
 *
 * Owns the smallest change that shows them. Must never replace an element that can stay, nor
 * overwrite what a person has typed.
 */

import { isTyped } from "./keep.js";

/** How items become elements. */
export interface ListPatch<T> {
  /** The item's id; left out: `item.id`, else `item._id`. */
  key?: (item: T) => string | number;
  /** The element of an item: an element, or its HTML. Escape what comes from people. */
  render: (item: T) => Element | string;
}

/** What a patch changed. */
export interface Patched {
  added: Element[];
  updated: Element[];
  removed: number;
}

/**
 * Makes the children of `list` (rows of a table's body, entries of a list) show `items`, in their
 * order. A child stays the same element as long as its item's id stays; it bears the id as
 * `data-id`. Children without `data-id` are left alone, before everything else.
 */
export function patchList<T>(list: Element, items: Iterable<T>, how: ListPatch<T>): Patched {
  const patched: Patched = { added: [], updated: [], removed: 0 };
  const old = new Map<string, Element>();
  for (const child of [...list.children]) {
    const id = child.getAttribute("data-id");
    if (id !== null) old.set(id, child);
  }
  const rows: Element[] = [];
  for (const item of items) {
    const id = String(how.key ? how.key(item) : itemId(item));
    const made = element(how.render(item), list);
    made.setAttribute("data-id", id);
    const row = old.get(id);
    old.delete(id);
    if (row === undefined || row.localName !== made.localName) {
      row?.remove();
      patched.added.push(made);
      rows.push(made);
    } else {
      if (morph(row, made)) patched.updated.push(row);
      rows.push(row);
    }
  }
  for (const gone of old.values()) gone.remove();
  patched.removed = old.size;
  arrange(list, rows);
  return patched;
}

/** Puts rows into their order with few moves. */
function arrange(list: Element, rows: Element[]): void {
  const focused = list.ownerDocument.activeElement;
  let at = list.firstElementChild;
  while (at && !at.hasAttribute("data-id")) at = at.nextElementSibling;
  for (const [index, row] of rows.entries()) {
    // The one that stands here belongs further down: it moves, and the rest stays.
    if (at && at !== row && at.nextElementSibling === row && rows.indexOf(at, index) > index + 1) {
      const moved = at;
      at = row;
      list.insertBefore(moved, row.nextElementSibling);
    }
    if (at === row) at = row.nextElementSibling;
    else list.insertBefore(row, at);
  }
  // An element that moves loses the focus.
  if (focused instanceof HTMLElement && list.contains(focused)) focused.focus({ preventScroll: true });
}

function itemId(item: unknown): string {
  const fields = item as { id?: unknown; _id?: unknown } | null;
  const id = fields?.id ?? fields?._id;
  if (id === undefined || id === null) throw new TypeError("an item has no `id`: hand in `key`");
  return String(id);
}

function element(rendered: Element | string, list: Element): Element {
  if (typeof rendered !== "string") return rendered;
  const template = list.ownerDocument.createElement("template");
  template.innerHTML = rendered.trim();
  const made = template.content.firstElementChild;
  if (made === null || made.nextElementSibling !== null) throw new TypeError("`render` has to give one element");
  return list.ownerDocument.importNode(made, true);
}

/**
 * Makes `target` look like `wanted` (an element, or its HTML) and says whether anything differed.
 * Elements stay where they can; typed input, open dialogs and everything inside of
 * `data-sync-keep` are left as they are.
 */
export function morph(target: Element, wanted: Element | string): boolean {
  const source = element(wanted, target);
  if (target.hasAttribute("data-sync-keep") || target.isEqualNode(source)) return false;
  const attributes = alikeAttributes(target, source);
  // What stands inside of a field is its input, and that belongs to the person.
  if (target.localName === "textarea" && isTyped(target)) return attributes;
  return alikeChildren(target, source) || attributes;
}

/** Attributes that people change by using the page. */
const OF_PEOPLE: Record<string, string[]> = { dialog: ["open"], details: ["open"] };

function alikeAttributes(target: Element, source: Element): boolean {
  const own = OF_PEOPLE[target.localName] ?? [];
  const typed = isTyped(target);
  let differed = false;
  for (const { name, value } of [...source.attributes]) {
    if (own.includes(name) || target.getAttribute(name) === value) continue;
    target.setAttribute(name, value);
    differed = true;
  }
  for (const { name } of [...target.attributes]) {
    if (own.includes(name) || source.hasAttribute(name)) continue;
    target.removeAttribute(name);
    differed = true;
  }
  // A field that a script or person has set follows its attribute no more.
  if (!typed && target instanceof HTMLInputElement && target.value !== target.defaultValue) {
    target.value = target.defaultValue;
  }
  return differed;
}

function alikeChildren(target: Element, source: Element): boolean {
  const named = new Map<string, Element>();
  for (const child of target.children) if (nameOf(child)) named.set(nameOf(child), child);
  let differed = false;
  let at: ChildNode | null = target.firstChild;
  for (const wanted of [...source.childNodes]) {
    const found = partner(at, wanted, named);
    if (found === null) {
      target.insertBefore(target.ownerDocument.importNode(wanted, true), at);
      differed = true;
      continue;
    }
    if (found !== at) {
      target.insertBefore(found, at);
      differed = true;
    } else {
      at = at.nextSibling;
    }
    if (found instanceof Element) differed = morph(found, wanted as Element) || differed;
    else if (found.nodeValue !== wanted.nodeValue) {
      found.nodeValue = wanted.nodeValue;
      differed = true;
    }
  }
  while (at) {
    const next: ChildNode | null = at.nextSibling;
    if (!(at instanceof Element && at.hasAttribute("data-sync-keep"))) {
      at.remove();
      differed = true;
    }
    at = next;
  }
  return differed;
}

/** The child that becomes `wanted`: of the same name, or nameless at the same place and of the same kind. */
function partner(at: ChildNode | null, wanted: ChildNode, named: Map<string, Element>): ChildNode | null {
  if (wanted instanceof Element && nameOf(wanted)) return named.get(nameOf(wanted)) ?? null;
  if (at === null || at.nodeType !== wanted.nodeType) return null;
  if (!(at instanceof Element)) return at;
  return at.localName === (wanted as Element).localName && !nameOf(at) ? at : null;
}

function nameOf(element: Element): string {
  const name = element.id || element.getAttribute("data-id");
  return name ? `${element.localName} ${name}` : "";
}
