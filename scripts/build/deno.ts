export type DenoOutcome =
  | { kind: "ok"; stdout: string }
  | { kind: "failed"; stderr: string }
  | { kind: "timed-out" };

/** Runs a program (by default this very Deno) and keeps its output, so that a successful build stays quiet. */
export async function runQuietly(
  args: readonly string[],
  options: { cwd: string; timeoutMs: number; program?: string; env?: Record<string, string> },
): Promise<DenoOutcome> {
  const signal = AbortSignal.timeout(options.timeoutMs);
  const command = new Deno.Command(options.program ?? Deno.execPath(), {
    args: [...args],
    cwd: options.cwd,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...options.env },
    stdin: "null",
    signal,
  });
  const { success, stdout, stderr } = await command.output();
  if (success) return { kind: "ok", stdout: new TextDecoder().decode(stdout) };
  if (signal.aborted) return { kind: "timed-out" };
  return { kind: "failed", stderr: new TextDecoder().decode(stderr) };
}
