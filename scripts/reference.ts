/** Writes docs/reference.md from the flag definitions; with `--check` only compares, exit code 1. */

import { parseArgs } from "node:util";
import { reference } from "../src/config/help.ts";

const REFERENCE = new URL("../docs/reference.md", import.meta.url);

const { values } = parseArgs({ args: Deno.args, options: { check: { type: "boolean", default: false } } });

if (!values.check) {
  await Deno.writeTextFile(REFERENCE, reference());
} else if (await readIfThere(REFERENCE) !== reference()) {
  console.error("docs/reference.md:1: differs from the flag definitions, run 'deno task reference'");
  Deno.exitCode = 1;
}

async function readIfThere(file: URL): Promise<string | null> {
  try {
    return await Deno.readTextFile(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
