/** argv → command → exit code. The workers are this same program under other names. */

if (self.name === "agent") {
  const { serveJob } = await import("./src/jail/worker.ts");
  serveJob(self as unknown as Parameters<typeof serveJob>[0]);
} else if (self.name === "script") {
  const { serveScript } = await import("./src/jail/script_worker.ts");
  serveScript(self as unknown as Parameters<typeof serveScript>[0]);
} else if (self.name === "brokers") {
  const { serveBrokerSearch } = await import("./src/jail/broker_worker.ts");
  serveBrokerSearch(self as unknown as Parameters<typeof serveBrokerSearch>[0]);
} else {
  const { runOrReport } = await import("./src/commands/run.ts");
  Deno.exit(await runOrReport(Deno.args));
}
