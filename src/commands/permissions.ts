/** `ilagent permissions`: what the daemon with the same flags may do. */

import { denoFlags, type Permissions, scriptWorkerPermissions } from "../jail/permissions.ts";
import type { ScriptSetup } from "../jail/script_messages.ts";
import { printLine } from "../runtime/print.ts";

const PROXY_VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/**
 * `script` is what a worker of its own may run, null where nothing is run. `namesMoreBrokers` where Kafka's brokers to begin
 * with will name others.
 */
export function showPermissions(
  permissions: Permissions,
  { script, namesMoreBrokers }: { script: ScriptSetup | null; namesMoreBrokers: boolean },
  asJson: boolean,
): void {
  const proxies = proxiesInUse();
  const run = script === null ? null : scriptWorkerPermissions(script).run;
  if (asJson) {
    const scriptWorker = run === null ? {} : { scriptWorker: { run, denoFlags: [runFlag(run)] } };
    const kafka = namesMoreBrokers ? { namesMoreBrokers } : {};
    printLine(
      JSON.stringify({
        ...permissions,
        denoFlags: denoFlags(permissions),
        ...scriptWorker,
        ...kafka,
        proxies,
      }),
    );
    return;
  }
  const others = namesMoreBrokers ? ", and the other brokers that these Kafka brokers name" : "";
  printLine(`network  ${permissions.net.join(", ")}${others}`);
  printLine(`read     ${permissions.read.join(", ")}`);
  printLine(`write    ${permissions.write.join(", ")}`);
  if (run !== null) {
    printLine(
      `run      ${run.join(", ")} (by a second worker of our own code only, which may do nothing else)`,
    );
  }
  const programs = run === null ? "programs" : "other programs";
  printLine(
    `denied   everything else: other hosts, ports and files, ${programs}, variables, FFI, system data, code from the network`,
  );
  for (const proxy of proxies) {
    printLine(`proxy    ${proxy} (set in the environment; requests go there without a permission)`);
  }
  printLine(`flags    ${denoFlags(permissions).join(" ")}`);
  if (run !== null) printLine(`         ${runFlag(run)} (the second worker)`);
}

function runFlag(run: readonly string[]): string {
  return `--allow-run=${run.join(",")}`;
}

/** `NAME=host:port`, without the credentials a proxy URL may carry. */
export function proxiesInUse(): string[] {
  return PROXY_VARIABLES.flatMap((name) => [name, name.toLowerCase()]).flatMap((name) => {
    const value = Deno.env.get(name) ?? "";
    return URL.canParse(value) ? [`${name}=${new URL(value).host}`] : [];
  });
}
