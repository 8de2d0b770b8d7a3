/** Runs `tests/faults/fuzz.ts`, which holds what needs fast-check: that belongs to the tests alone. */

import { fileURLToPath } from "node:url";
import type { Finding, Findings } from "./findings.ts";
import type { Circumstances } from "./scenario.ts";

const PROGRAM = fileURLToPath(new URL("../../tests/faults/fuzz.ts", import.meta.url));

export async function tryFuzz(circumstances: Circumstances, findings: Findings): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", PROGRAM, JSON.stringify(circumstances)],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  let rest = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) findings.add(JSON.parse(line) as Finding);
  }
  const { code } = await child.status;
  if (code !== 0) findings.check("fuzz", "it runs to its end", `it ended with exit code ${code}`);
}
