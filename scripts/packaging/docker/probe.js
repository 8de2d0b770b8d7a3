// The container's health check: is the agent alive? Whether ilert or a broker can be reached is /readyz's to say, and
// no reason to start it again.

try {
  const port = Deno.env.get("ILAGENT_PORT") ?? "8977";
  const response = await fetch(`http://127.0.0.1:${port}/livez`, { signal: AbortSignal.timeout(4_000) });
  await response.body?.cancel();
  Deno.exitCode = response.ok ? 0 : 1;
} catch (error) {
  console.error(`The agent does not answer: ${error instanceof Error ? error.message : error}`);
  Deno.exitCode = 1;
}
