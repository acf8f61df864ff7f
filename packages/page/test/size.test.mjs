import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const BUDGET_BYTES = 15_000;

for (const file of ["index.js", "sync.js"]) {
  test(`${file} stays small`, () => {
    const bytes = gzipSync(readFileSync(new URL(`../dist/${file}`, import.meta.url)), { level: 9 }).length;
    assert.ok(bytes < BUDGET_BYTES, `${file} has ${bytes} bytes gzipped, the budget is ${BUDGET_BYTES}`);
  });
}
