import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { systemdDropIn } from "../../src/commands/systemd_drop_in.ts";
import { relayPermissions } from "../../src/jail/permissions.ts";
import type { RelayConfig } from "../../src/relay.ts";
import { toolTest } from "../support/services.ts";
import { TempFolder } from "../support/temp_folder.ts";

const UNIT = fileURLToPath(new URL("../../scripts/packaging/systemd/ilagent.service", import.meta.url));
const EXPOSURE_MAX = 1.5;
const RELAY = {
  file: "/var/lib/ilagent/ilagent.db3",
  server: { hostname: "127.0.0.1", port: 8977 },
  consumers: null,
  heartbeatKey: null,
  apiHost: "http://10.0.0.5:8080",
  heartbeatHost: "http://10.0.0.5:8080",
} as unknown as RelayConfig;

toolTest("ilagent.service leaves the agent little", { needs: ["systemd-analyze"] }, async () => {
  const exposure = await exposureOf(await Deno.readTextFile(UNIT));
  assert.ok(exposure <= EXPOSURE_MAX, `exposure ${exposure}`);
});

toolTest("ilagent.service and a drop-in of systemdDropIn() are what systemd understands", {
  needs: ["systemd-analyze"],
}, async () => {
  using folder = new TempFolder();
  // Neither the program nor the manual is installed here.
  const unit = (await Deno.readTextFile(UNIT)).replace(/^ExecStart=\S+/m, "ExecStart=/bin/true")
    .replace(/^Documentation=.*\n/m, "");
  await Deno.writeTextFile(folder.file("ilagent.service"), unit);
  await Deno.mkdir(folder.file("ilagent.service.d"));
  const dropIn = systemdDropIn(relayPermissions(RELAY), RELAY, []);
  await Deno.writeTextFile(folder.file("ilagent.service.d/permissions.conf"), dropIn);
  const { code, output } = await analyze(["verify", "--recursive-errors=no", "ilagent.service"], folder.path);
  assert.deepEqual([code, output], [0, ""]);

  await Deno.writeTextFile(
    folder.file("ilagent.service.d/permissions.conf"),
    "[Service]\nNoSuchSetting=yes\n",
  );
  const wrong = await analyze(["verify", "--recursive-errors=no", "ilagent.service"], folder.path);
  assert.match(wrong.output, /NoSuchSetting/);
});

toolTest("systemdDropIn() gives a service that has no limits of its own most of them", {
  needs: ["systemd-analyze"],
}, async () => {
  const bare = "[Service]\nExecStart=/bin/true\n";
  const fenced = `[Service]\nExecStart=/bin/true\n${systemdDropIn(relayPermissions(RELAY), RELAY, [])}\n`;
  assert.ok(await exposureOf(fenced) < await exposureOf(bare) - 2);
});

async function exposureOf(unit: string): Promise<number> {
  using folder = new TempFolder();
  await Deno.writeTextFile(folder.file("ilagent.service"), unit);
  const { output } = await analyze(
    ["security", "--offline=true", folder.file("ilagent.service")],
    folder.path,
  );
  const exposure = /Overall exposure level for ilagent.service: ([\d.]+)/.exec(output)?.[1];
  assert.ok(exposure !== undefined, output);
  return Number(exposure);
}

async function analyze(args: string[], folder: string): Promise<{ code: number; output: string }> {
  const env = { SYSTEMD_UNIT_PATH: `${folder}:`, NO_COLOR: "1", SYSTEMD_PAGER: "" };
  const { code, stdout, stderr } = await new Deno.Command("systemd-analyze", { args, env, stdin: "null" })
    .output();
  return { code, output: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}
