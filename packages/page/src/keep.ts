/**
 * What a person was doing on the page, carried over a refresh.
 *
 * Owns scroll positions, open dialogs, focus, selection and half-typed input. Must never undo what
 * the person does while the refresh runs: only what the refresh took away comes back.
 */

import { guarded } from "./debug.js";

type Restore = () => void;
/** Where an element's successor stands; `null` while the element itself is still there. */
type Place = () => Element | null;

/** Runs `refresh` and puts back whatever of the person's work it took away. Never rejects. */
export async function keepPage(refresh: () => unknown): Promise<void> {
  if (typeof document === "undefined" || typeof HTMLElement === "undefined") {
    await guarded("a refresh", refresh);
    return;
  }
  const things = [...openThings(), ...fields()];
  const followed = [followScroll(), followFocus()];
  await guarded("a refresh", refresh);
  // What follows from here on are our own doings, for example the focus that an opened dialog takes.
  const last = followed.map((settle) => settle());
  for (const restore of [...things, ...last]) restore();
}

/**
 * Elements that were taken off the page still know whether they were open and what was typed into
 * them, so that is asked at the end: then it includes what happened during the refresh.
 */
function openThings(): Restore[] {
  const things = document.querySelectorAll<HTMLElement>("dialog, details, [popover]");
  return [...things].map((old) => {
    const successor = place(old);
    const wasOpen = old.hasAttribute("open");
    const modal = !wasOpen || old.matches(":modal");
    const popped = isPopped(old);
    return () => {
      const now = successor();
      if (now instanceof HTMLDialogElement && old.hasAttribute("open")) reopen(now, modal);
      else if (now instanceof HTMLDetailsElement) now.open = old.hasAttribute("open");
      else if (now instanceof HTMLElement && popped && !isPopped(now)) now.showPopover();
    };
  });
}

function reopen(dialog: HTMLDialogElement, modal: boolean): void {
  dialog.removeAttribute("open");
  if (modal) dialog.showModal();
  else dialog.show();
}

function isPopped(element: HTMLElement): boolean {
  return element.hasAttribute("popover") && element.matches(":popover-open");
}

/** Fields whose content is not for scripts, or is no input of a person. */
const NO_INPUT = new Set(["hidden", "submit", "button", "reset", "image", "file"]);

/** Whether a person has changed a field since the page set it. */
export function isTyped(field: Element): boolean {
  if (field instanceof HTMLSelectElement) return [...field.options].some((o) => o.selected !== o.defaultSelected);
  if (field instanceof HTMLTextAreaElement) return field.value !== field.defaultValue;
  if (!(field instanceof HTMLInputElement) || NO_INPUT.has(field.type)) return false;
  return field.value !== field.defaultValue || field.checked !== field.defaultChecked;
}

function fields(): Restore[] {
  return [...document.querySelectorAll("input, textarea, select")].map((old) => {
    const successor = place(old);
    return () => {
      const now = successor();
      if (now !== null && isTyped(old)) typeAgain(old, now);
    };
  });
}

function typeAgain(old: Element, now: Element): void {
  if (old instanceof HTMLSelectElement && now instanceof HTMLSelectElement) {
    const chosen = new Set([...old.selectedOptions].map((option) => option.value));
    for (const option of now.options) option.selected = chosen.has(option.value);
  } else if (old instanceof HTMLTextAreaElement && now instanceof HTMLTextAreaElement) {
    now.value = old.value;
  } else if (old instanceof HTMLInputElement && now instanceof HTMLInputElement) {
    now.value = old.value;
    now.checked = old.checked;
  }
}

/** A scrolled element: where it stood, and whether the refresh pushed it from there. */
interface Scrolled {
  successor: Place;
  top: number;
  left: number;
  pushed: boolean;
}

/** Positions do not survive removal, so they are followed while the refresh runs. */
function followScroll(): () => Restore {
  const kept = new Map<Element, Scrolled>();
  const note = (element: Element) => {
    const { scrollTop: top, scrollLeft: left } = element;
    kept.set(element, { successor: kept.get(element)?.successor ?? place(element), top, left, pushed: false });
  };
  for (const element of document.querySelectorAll("*")) {
    if (element.scrollTop !== 0 || element.scrollLeft !== 0) note(element);
  }
  const follow = ({ target }: Event) => {
    const element = target === document ? document.scrollingElement : target;
    if (!(element instanceof Element)) return;
    const before = kept.get(element);
    if (before && isPushed(element, before.top)) before.pushed = true;
    else note(element);
  };
  document.addEventListener("scroll", follow, { capture: true, passive: true });
  return () => {
    document.removeEventListener("scroll", follow, { capture: true });
    return () => kept.forEach(scrollBack);
  };
}

/** The browser itself moves an element so that what is in sight stays in sight: that is better than the old number. */
function scrollBack({ successor, top, left, pushed }: Scrolled, old: Element): void {
  const now = old.isConnected ? old : successor();
  const lost = now !== old || pushed || (now.scrollTop === 0 && now.scrollLeft === 0);
  if (now && lost) now.scrollTo({ top, left, behavior: "instant" });
}

/** At its end because there is less to scroll than before. */
function isPushed(element: Element, before: number): boolean {
  return element.scrollTop < before && element.scrollTop + element.clientHeight >= element.scrollHeight - 1;
}

function followFocus(): () => Restore {
  let focused = focusable(document.activeElement);
  const follow = ({ target }: Event) => {
    focused = focusable(target);
  };
  document.addEventListener("focusin", follow, true);
  return () => {
    document.removeEventListener("focusin", follow, true);
    return () => {
      const now = focused?.successor();
      if (!focused || !(now instanceof HTMLElement)) return;
      now.focus({ preventScroll: true });
      select(focused.old, now);
    };
  };
}

function focusable(target: unknown): { old: HTMLElement; successor: Place } | null {
  if (!(target instanceof HTMLElement) || target === document.body) return null;
  return { old: target, successor: place(target) };
}

function select(old: HTMLElement, now: HTMLElement): void {
  if (!("setSelectionRange" in old && "setSelectionRange" in now)) return;
  const { selectionStart: from, selectionEnd: to, selectionDirection: direction } = old as HTMLInputElement;
  // Fields of some kinds have no selection, and say `null`.
  if (from !== null) (now as HTMLInputElement).setSelectionRange(from, to, direction ?? "none");
}

/**
 * What will stand at an element's place once it is gone: the same `id` or `data-id`, the same name
 * in its form, or the same position, below one of those.
 */
function place(element: Element): Place {
  const path: string[] = [];
  for (let at: Element | null = element; at && at !== document.documentElement; at = at.parentElement) {
    path.unshift(anchor(at) ?? nth(at));
    if (at.id) break;
  }
  const selector = path.join(" > ");
  return () => (element.isConnected || selector === "" ? null : document.querySelector(selector));
}

function anchor(element: Element): string | null {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const id = element.getAttribute("data-id");
  if (id !== null) return `[data-id="${CSS.escape(id)}"]`;
  const name = element.getAttribute("name");
  if (name === null) return null;
  const chosen = element instanceof HTMLInputElement && /^(radio|checkbox)$/.test(element.type);
  return `[name="${CSS.escape(name)}"]` + (chosen ? `[value="${CSS.escape(element.value)}"]` : "");
}

function nth(element: Element): string {
  const alike = [...(element.parentElement?.children ?? [])].filter((other) => other.localName === element.localName);
  return `${CSS.escape(element.localName)}:nth-of-type(${alike.indexOf(element) + 1})`;
}
