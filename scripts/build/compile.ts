import { basename, dirname, join } from "node:path";
import { type DenoOutcome, runQuietly } from "./deno.ts";
import { ISOLATION_FLAGS, PERMISSION_FLAGS } from "./run_flags.ts";
import type { Target } from "./targets.ts";

const COMPILE_TIMEOUT_MS = 60_000;
const PROBE_TIMEOUT_MS = 10_000;

export type CompileOutcome = { kind: "compiled" } | { kind: "impossible"; reason: string };

/**
 * Compiles the bundle with `deno compile`. That embeds a runtime of its own, denort, which Deno downloads or
 * takes from `DENORT_BIN`: on a build machine without either, the outcome is `impossible`. For another machine than
 * this one the result is not tried.
 */
export async function compile(bundle: string, output: string, target: Target): Promise<CompileOutcome> {
  // A failed or stopped compile leaves a temporary file beside its output.
  const scratch = await Deno.makeTempDir({ dir: dirname(output), prefix: ".compile-" });
  try {
    const program = join(scratch, basename(output));
    const compiled = await runQuietly(
      [
        ...["compile", ...PERMISSION_FLAGS, ...ISOLATION_FLAGS],
        ...["--target", target.triple, "--output", program, bundle],
      ],
      { cwd: dirname(bundle), timeoutMs: COMPILE_TIMEOUT_MS },
    );
    if (compiled.kind !== "ok") return { kind: "impossible", reason: reasonOf(compiled) };

    if (target.triple === Deno.build.target && !await answersItsVersion(program, scratch)) {
      return { kind: "impossible", reason: "the compiled program does not start" };
    }
    await Deno.rename(program, output);
    return { kind: "compiled" };
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}

/** With the full deno as DENORT_BIN the compile succeeds, and its result is just another deno. */
async function answersItsVersion(program: string, cwd: string): Promise<boolean> {
  const answer = await runQuietly(["--version"], { program, cwd, timeoutMs: PROBE_TIMEOUT_MS });
  return answer.kind === "ok" && !answer.stdout.startsWith("deno ");
}

/** One clause of Deno's report, which has a chain of causes, download addresses and a stack. */
export function reasonOf(outcome: Exclude<DenoOutcome, { kind: "ok" }>): string {
  if (outcome.kind === "timed-out") return `no result after ${COMPILE_TIMEOUT_MS / 1000} s`;
  if (
    /error sending request|client error|HTTP status|download/i.test(
      outcome.stderr.replace(/^Download .*/gm, ""),
    )
  ) {
    return "its runtime denort could not be downloaded";
  }
  const cause = /^\s+0: (.+)/m.exec(outcome.stderr) ?? /^error: (.+)/m.exec(outcome.stderr);
  return cause?.[1]?.replace(/\w+:\/\/\S+/g, "…") ?? "unknown reason";
}
