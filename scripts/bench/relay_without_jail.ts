/**
 * The relay on the main thread, without worker and without rights taken away: what the jail is compared with. Takes
 * `daemon -p PORT -f FILE` like the agent. Only for the bench: the product has no such switch.
 */

import { resolve } from "node:path";
import { runDaemon } from "../../src/commands/daemon_job.ts";
import { daemonConfig, logConfig } from "../../src/config/daemon.ts";
import { readSettings } from "../../src/config/settings.ts";

export const RELAY_WITHOUT_JAIL = import.meta.url;

if (import.meta.main) {
  const settings = await readSettings(Deno.args, {
    variable: (name) => Deno.env.get(name),
    readFile: (path) => Deno.readTextFileSync(path),
  });
  if (settings.kind !== "run") throw new Error(`Cannot run the relay: ${Deno.args.join(" ")}`);
  const { values, origins } = settings;
  const noFiles = { readFile: () => "", isExecutable: () => false };
  const daemon = daemonConfig({ ...values, file: resolve(values.file) }, origins, noFiles);
  if (daemon.kind !== "relay") throw new Error(`Cannot run the relay: ${Deno.args.join(" ")}`);

  const stop = new AbortController();
  for (const name of Deno.build.os === "windows" ? ["SIGINT"] as const : ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(name, () => stop.abort());
  }
  const job = { kind: "relay" as const, config: daemon.config, log: logConfig(values), warnings: [] };
  Deno.exit(await runDaemon(job, stop.signal, { onOpening: () => {}, onBrokerRefused: () => {} }));
}
