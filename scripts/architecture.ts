/** Checks the project's structure against scripts/architecture/rules.ts; one line per violation, exit code 1. */

import { fileURLToPath } from "node:url";
import { readTree } from "./architecture/tree.ts";
import { RULE_NAMES, violations } from "./architecture/violations.ts";

const files = await readTree(fileURLToPath(new URL("..", import.meta.url)));
const found = violations(files);
for (const line of found) console.error(line);
if (found.length > 0) Deno.exitCode = 1;
else console.log(`architecture: ${RULE_NAMES.length} rules hold for ${files.size} files`);
