/**
 * The pages of the example as two people see them, in a real browser.
 *
 * Owns the scenarios. Whoever starts it writes the address of the hub to its standard input, reads one line for
 * each scenario, and, when asked by the line `kill`, kills the hub and starts it again when asked by `start`.
 */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

/** Everything that Chromium would look for outside of this machine is switched off. */
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const BROWSER = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const SECOND = { timeout: 1_000 };

const told = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const base = (await told.next()).value;
assert.ok(BROWSER, "no Chromium: `cargo xtask setup` installs it");
const browser = await chromium.launch({ executablePath: BROWSER, args: FLAGS });
const troubles = [];

/** Another person: a window of their own. */
async function visit(path, { prepare, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 640 }, ...options });
  const page = await context.newPage();
  page.on("pageerror", (error) => troubles.push(`${path}: ${error.stack}`));
  if (prepare) await page.addInitScript(prepare);
  await page.goto(base + path);
  await page.waitForSelector("html[data-ready=yes]");
  return page;
}

/** What a proxy does to a page that refuses WebSockets. */
function blocked() {
  window.WebSocket = class {
    constructor() {
      setTimeout(() => this.onerror?.(new Event("error")));
    }

    close() {}
  };
}

async function hub(what) {
  console.log(what);
  await told.next();
}

const row = (page, text) => page.locator("tbody tr", { hasText: text });

async function rename(page, from, to) {
  await row(page, from).click();
  await page.fill("dialog [name=name]", to);
  await page.click("dialog [type=submit]");
}

const scenarios = {
  async "an empty registry fills in both windows within a second"() {
    const [one, two] = [await visit("/"), await visit("/files")];
    await two.getByText("No files yet").waitFor();
    await one.click("#fill");
    await row(two, "Manual, packing line 2").waitFor(SECOND);
    await one.locator("#number-files strong", { hasText: "28" }).waitFor(SECOND);
  },

  async "what one window adds, changes and removes appears in the other within a second"() {
    const [one, two] = [await visit("/files"), await visit("/files")];
    await one.click("#add");
    await one.fill("dialog [name=name]", "Aardvark <b>permit</b>");
    await one.click("dialog [type=submit]");
    await row(two, "Aardvark <b>permit</b>").waitFor(SECOND);
    await two.locator(".toast", { hasText: "was added by" }).waitFor(SECOND);

    await rename(one, "Aardvark", "Badger permit");
    await row(two, "Badger permit").waitFor(SECOND);

    await row(two, "Badger permit").click();
    await two.click("#remove");
    await row(one, "Badger permit").waitFor({ state: "detached", ...SECOND });
  },

  async "a category's new name shows in files"() {
    const [files, categories] = [await visit("/files"), await visit("/categories")];
    await rename(categories, "Technical", "Engineering");
    await row(files, "Engineering").first().waitFor(SECOND);
  },

  async "scroll, an open dialog and half-typed input survive what others do"() {
    const [one, two] = [await visit("/files"), await visit("/files")];
    await two.evaluate(() => window.scrollTo(0, 500));
    const stays = row(two, "Lease agreement");
    await stays.click();
    await two.fill("dialog [name=note]", "half a sent");
    await two.evaluate(() => document.querySelector("dialog [name=note]").setSelectionRange(2, 4));
    const before = await stays.boundingBox();

    await one.click("#add");
    await one.fill("dialog [name=name]", "Aardvark");
    await one.click("dialog [type=submit]");
    await row(two, "Aardvark").waitFor({ state: "attached", ...SECOND });
    await rename(one, "Lease agreement", "Lease agreement, Rua Augusta 16");
    await row(two, "Rua Augusta 16").waitFor(SECOND);
    await two.locator("dialog .notice", { hasText: "changed this meanwhile" }).waitFor(SECOND);

    const now = await two.evaluate(() => {
      const { name, value, selectionStart, selectionEnd } = document.activeElement;
      return { name, value, selection: [selectionStart, selectionEnd], open: document.querySelector("dialog:modal") !== null };
    });
    assert.deepEqual(now, { name: "note", value: "half a sent", selection: [2, 4], open: true });
    const after = await row(two, "Rua Augusta 16").boundingBox();
    assert.ok(Math.abs(after.y - before.y) < 2, `the row moved from ${before.y} to ${after.y}`);

    await two.click("dialog [type=submit]");
    await two.getByText("Saved").waitFor(SECOND);
    await two.reload();
    await row(two, "Rua Augusta 16").click();
    assert.equal(await two.inputValue("dialog [name=note]"), "half a sent");
  },

  async "what a person was doing survives a refresh that replaces everything"() {
    const page = await visit("/files");
    const now = await page.evaluate(async () => {
      const shown = () => `<div id="box" style="height:80px;overflow:auto"><div style="height:900px"></div></div>
        <dialog id="ask"><form id="form"><input name="who" value="old"><textarea name="note"></textarea>
        <input type="checkbox" name="sure" value="yes"><select name="kind"><option>a</option><option>b</option></select></form></dialog>
        <details><summary>More</summary>text</details>`;
      const main = document.querySelector("#main");
      const find = (selector) => main.querySelector(selector);
      main.innerHTML = shown();
      find("#ask").showModal();
      find("details").open = true;
      find("#box").scrollTop = 300;
      find("[name=who]").value = "half-typed";
      find("[name=sure]").checked = true;
      find("[name=kind]").value = "b";
      find("[name=who]").focus();
      find("[name=who]").setSelectionRange(1, 3);
      await SyncManager.keepPage(async () => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        find("[name=note]").value = "typed meanwhile";
        main.innerHTML = "";
        await new Promise((resolve) => setTimeout(resolve, 50));
        main.innerHTML = shown();
      });
      const { name, selectionStart, selectionEnd } = document.activeElement;
      return {
        modal: find("#ask").matches(":modal"), more: find("details").open, scroll: find("#box").scrollTop,
        who: find("[name=who]").value, note: find("[name=note]").value, sure: find("[name=sure]").checked,
        kind: find("[name=kind]").value, focus: [name, selectionStart, selectionEnd],
      };
    });
    assert.deepEqual(now, {
      modal: true, more: true, scroll: 300, who: "half-typed", note: "typed meanwhile", sure: true, kind: "b",
      focus: ["who", 1, 3],
    });
  },

  async "lists are patched by id: rows stay the same elements, in the new order"() {
    const page = await visit("/files");
    const seen = await page.evaluate(() => {
      const list = document.createElement("ul");
      document.body.append(list);
      const render = ({ id, text }) => `<li><b>${text}</b><input name="in-${id}" value="${text}"></li>`;
      const patch = (...items) => SyncManager.patchList(list, items.map(([id, text]) => ({ id, text })), { render });
      patch([1, "a"], [2, "b"], [3, "c"]);
      const [first, second] = list.children;
      const typed = second.querySelector("input");
      typed.value = "half";
      typed.focus();
      const { added, updated, removed } = patch([4, "d"], [3, "c"], [2, "B"], [1, "a"]);
      const result = {
        order: [...list.children].map(({ dataset }) => dataset.id), added: added.length, removed,
        updated: updated.map(({ dataset }) => dataset.id), same: list.children[3] === first && list.children[2] === second,
        typed: typed.value, text: second.querySelector("b").textContent, focused: document.activeElement === typed,
        gone: patch([2, "B"]).removed, idle: patch([2, "B"]).updated.length,
      };
      list.remove();
      return result;
    });
    assert.deepEqual(seen, {
      order: ["4", "3", "2", "1"], added: 1, removed: 0, updated: ["2"], same: true, typed: "half", text: "B",
      focused: true, gone: 3, idle: 0,
    });
  },

  async "the idle guard finds what no event told"() {
    const [one, two] = [await visit("/files"), await visit("/files")];
    await two.evaluate(() => SyncManager.leaveRoom("files"));
    await rename(one, "Noise survey", "Noise survey, roof");
    await row(one, "Noise survey, roof").waitFor(SECOND);
    await row(two, "Noise survey, roof").waitFor({ timeout: 11_000 });
  },

  async "a page whose WebSockets are blocked is told by polling"() {
    const without = await visit("/groups", { prepare: blocked });
    assert.equal(await without.evaluate(() => SyncManager.getSocket().io.engine.transport.name), "polling");
    const other = await visit("/groups");
    await rename(other, "Guests", "Visitors");
    await row(without, "Visitors").waitFor(SECOND);
  },

  async "a killed worker is survived: edits wait, pages come back and catch up"() {
    const [one, two, polling] = [
      await visit("/files"), await visit("/files"), await visit("/files", { prepare: blocked }),
    ];
    await hub("kill");
    await two.locator("#link", { hasText: "Reconnecting" }).waitFor({ timeout: 5_000 });
    await rename(one, "Fire safety", "Fire safety certificate, hall B");
    await one.getByText("The hub cannot be reached").waitFor({ timeout: 5_000 });
    await hub("start");
    for (const page of [one, two, polling]) {
      await row(page, "hall B").waitFor({ timeout: 20_000 });
      await page.locator("#link", { hasText: "Live" }).waitFor({ timeout: 20_000 });
    }
    await rename(two, "hall B", "Fire safety certificate, hall C");
    for (const page of [one, polling]) await row(page, "certificate, hall C").waitFor(SECOND);
  },
};

for (const [name, run] of Object.entries(scenarios)) {
  const started = Date.now();
  try {
    await run();
    assert.deepEqual(troubles.splice(0), []);
    console.log(`ok ${name} (${Date.now() - started} ms)`);
  } catch (error) {
    console.log(`not ok ${name}: ${error.message.replaceAll("\n", " ")}`);
  }
  await Promise.all(browser.contexts().map((context) => context.close()));
}
await browser.close();
process.exit();
