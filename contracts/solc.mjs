#!/usr/bin/env node
// A compiler file for forge over npm's solc: answers `--version` and compiles standard JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// Forge starts this file by its path; the packages are those beside it, however it was reached.
const solc = createRequire(import.meta.url)("solc");

if (process.argv.includes("--version")) {
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`);
} else if (process.argv.includes("--standard-json")) {
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
} else {
  process.stderr.write("solc.mjs knows --version and --standard-json\n");
  process.exitCode = 2;
}
