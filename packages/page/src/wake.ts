/**
 * When a page is looked at, and when it comes back.
 *
 * Owns the browser's events about that. Must never assume that there is a document: the client
 * also runs in scripts.
 */

/** Why events may have been missed. */
export type ResumeReason = "reconnect" | "visible" | "online";

/** Whether nobody can see the page. */
export function hidden(): boolean {
  return typeof document !== "undefined" && document.visibilityState === "hidden";
}

/** Calls `wake` when the tab is seen again, is taken out of the browser's cache, or the network is back. */
export function onWake(wake: (reason: ResumeReason) => void): void {
  if (typeof document !== "undefined" && typeof document.addEventListener === "function") {
    document.addEventListener("visibilitychange", () => hidden() || wake("visible"));
  }
  if (typeof window === "undefined" || typeof window.addEventListener !== "function") return;
  window.addEventListener("pageshow", (shown) => shown.persisted && wake("visible"));
  window.addEventListener("online", () => wake("online"));
}
