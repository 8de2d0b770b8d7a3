/** argv → command → exit code. The agent's worker is this same program under another name. */

if (self.name === "agent") {
  const { serveJob } = await import("./src/jail/worker.ts");
  serveJob(self as unknown as Parameters<typeof serveJob>[0]);
} else {
  const { runOrReport } = await import("./src/commands/run.ts");
  Deno.exit(await runOrReport(Deno.args));
}
