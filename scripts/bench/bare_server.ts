/**
 * The baseline of the intake: what `Deno.serve` does with the same JSON and nothing behind it. Started as an agent is,
 * with `-p PORT`, and answers like one.
 */

export const BARE_SERVER = import.meta.url;

if (import.meta.main) {
  const port = Number(Deno.args[Deno.args.indexOf("-p") + 1]);
  Deno.serve({ hostname: "127.0.0.1", port, onListen() {} }, async (request) => {
    if (request.method !== "POST") return new Response(null, { status: 204 });
    await request.json();
    return new Response("{}", { headers: { "content-type": "application/json" } });
  });
}
