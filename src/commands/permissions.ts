/** `ilagent permissions`: what the daemon with the same flags may do. */

import { denoFlags, type Permissions } from "../jail/permissions.ts";
import { printLine } from "../runtime/print.ts";

const PROXY_VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

export function showPermissions(permissions: Permissions, asJson: boolean): void {
  const proxies = proxiesInUse();
  if (asJson) {
    printLine(JSON.stringify({ ...permissions, denoFlags: denoFlags(permissions), proxies }));
    return;
  }
  printLine(`network  ${permissions.net.join(", ")}`);
  printLine(`read     ${permissions.read.join(", ")}`);
  printLine(`write    ${permissions.write.join(", ")}`);
  printLine(
    "denied   everything else: other hosts, ports and files, programs, variables, FFI, system data, code from the network",
  );
  for (const proxy of proxies) {
    printLine(`proxy    ${proxy} (set in the environment; requests go there without a permission)`);
  }
  printLine(`flags    ${denoFlags(permissions).join(" ")}`);
}

/** `NAME=host:port`, without the credentials a proxy URL may carry. */
export function proxiesInUse(): string[] {
  return PROXY_VARIABLES.flatMap((name) => [name, name.toLowerCase()]).flatMap((name) => {
    const value = Deno.env.get(name) ?? "";
    return URL.canParse(value) ? [`${name}=${new URL(value).host}`] : [];
  });
}
