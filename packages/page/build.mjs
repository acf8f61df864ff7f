/**
 * `npm run build`: types by TypeScript, which also checks them; code by esbuild.
 */

import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { build } from "esbuild";

process.chdir(import.meta.dirname);
rmSync("dist", { recursive: true, force: true });
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc"], { stdio: "inherit" });

const browser = { bundle: true, minify: true, sourcemap: true, target: "es2020", platform: "browser", logLevel: "warning" };
await build({ ...browser, entryPoints: ["src/index.ts"], outfile: "dist/index.js", format: "esm", external: ["socket.io-client"] });
await build({ ...browser, entryPoints: ["src/global.ts"], outfile: "dist/sync.js", format: "iife" });
await build({ ...browser, entryPoints: ["src/bundle.ts"], outfile: "dist/sync.bundle.js", format: "iife" });
