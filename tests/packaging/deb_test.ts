import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { writeDeb } from "../../scripts/release/deb.ts";
import { BUILT } from "../support/agent_process.ts";
import { toolTest } from "../support/services.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { ThrowawaySystem } from "../support/throwaway_system.ts";
import { until } from "../support/until.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const ARCH = Deno.build.arch === "aarch64" ? "arm64" : "amd64";
const CONFIG = "/etc/ilagent/ilagent.yaml", DATABASE = "/var/lib/ilagent/ilagent.db3";

/** Does with the installed unit what systemd would, and keeps a list of what it was asked. */
const SYSTEMCTL = `#!/bin/sh
echo "$*" >>/run/systemctl.log
unit=/usr/lib/systemd/system/ilagent.service
up() { [ -e /run/agent.pid ] && kill -0 "$(cat /run/agent.pid)" 2>/dev/null; }
start() {
  up && return
  install -d -m 700 -o ilagent -g ilagent /var/cache/ilagent
  cd /var/lib/ilagent
  # shellcheck disable=SC2046
  setpriv --reuid ilagent --regid ilagent --clear-groups env -i PATH=/usr/bin:/bin \
    $(sed -n 's/^Environment=//p' $unit) $(sed -n 's/^ExecStart=//p' $unit) >>/run/agent.log 2>&1 &
  echo $! >/run/agent.pid
}
stop() {
  up || return 0
  kill "$(cat /run/agent.pid)"
  for _ in $(seq 600); do up || return 0; sleep 0.05; done
}
case $1 in
  start) start ;;
  try-restart) if up; then stop; start; fi ;;
  disable) stop ;;
esac
`;

toolTest("the .deb installs, starts, upgrades over a running agent without losing its queue, and goes", {
  needs: ["nfpm", "dpkg"],
  asRoot: true,
}, async () => {
  using folder = new TempFolder();
  const [old, next] = [await deb(folder, "0.0.1"), await deb(folder, "0.0.2")];
  await using system = await ThrowawaySystem.start();
  const run = async (...command: string[]) => {
    const { code, output } = await system.run(command);
    assert.equal(code, 0, `${command.join(" ")}: ${output}`);
    return output;
  };
  const isTaken = (alertKey: string) =>
    until(async () => (await system.run(post(alertKey))).output === "200", `${alertKey} is taken`, 30_000);
  const asked = async () => (await run("cat", "/run/systemctl.log")).trim().split("\n");
  const queued = async () => JSON.parse(await run("ilagent", "audit", "--json", "-f", DATABASE)).queued;

  // Without systemd it is unpacked and left alone.
  await run("dpkg", "--install", old);
  assert.match(await run("ilagent", "--version"), /^ilagent \d/);
  await run("dpkg", "--purge", "ilagent");

  await run("sh", "-c", 'mkdir -p /run/systemd/system && printf %s "$0" >/usr/bin/systemctl', SYSTEMCTL);
  await run("chmod", "755", "/usr/bin/systemctl");
  await run("dpkg", "--install", old);
  assert.deepEqual(await asked(), [
    "daemon-reload",
    "enable --quiet ilagent.service",
    "start ilagent.service",
  ]);
  await isTaken("disk-0");
  assert.equal(await run(...post("disk-1")), "200");
  assert.equal(await run("stat", "-c", "%U %a", "/var/lib/ilagent", DATABASE), "ilagent 700\nilagent 600\n");
  assert.equal(await run("stat", "-c", "%U:%G %a", CONFIG), "root:ilagent 640\n");
  const oldPid = await run("cat", "/run/agent.pid");

  await run("sh", "-c", `echo 'label: { site: berlin }' >>${CONFIG}`);
  await run("dpkg", "--install", next);
  assert.deepEqual((await asked()).slice(3), ["daemon-reload", "try-restart ilagent.service"]);
  assert.match(await run("dpkg", "--status", "ilagent"), /^Version: 0\.0\.2$/m);
  assert.match(await run("cat", CONFIG), /site: berlin/, "an administrator's changes stay");
  assert.notEqual(await run("cat", "/run/agent.pid"), oldPid);
  await isTaken("disk-2");
  assert.equal(await queued(), 3);

  await run("dpkg", "--remove", "ilagent");
  assert.ok((await asked()).includes("disable --quiet --now ilagent.service"));
  assert.notEqual((await system.run(["kill", "-0", (await run("cat", "/run/agent.pid")).trim()])).code, 0);
  assert.notEqual((await system.run(["test", "-e", "/usr/bin/ilagent"])).code, 0);
  await run("test", "-s", DATABASE, "-a", "-s", CONFIG);

  await run("dpkg", "--install", next);
  await isTaken("disk-3");
  assert.equal(await queued(), 4);

  await run("dpkg", "--purge", "ilagent");
  for (const gone of ["/var/lib/ilagent", "/var/cache/ilagent", "/etc/ilagent", "/usr/bin/ilagent"]) {
    assert.notEqual((await system.run(["test", "-e", gone])).code, 0, gone);
  }
});

toolTest("writeDeb() makes byte-identical packages of one file", { needs: ["nfpm"] }, async () => {
  using folder = new TempFolder();
  const [first, second] = [folder.file("first"), folder.file("second")];
  const packages = await Promise.all([first, second].map(async (place) => {
    await Deno.mkdir(place);
    return await Deno.readFile(await writeDeb({ ...parts("0.0.1"), folder: place }));
  }));
  assert.deepEqual(packages[0], packages[1]);
});

function deb(folder: TempFolder, version: string): Promise<string> {
  return writeDeb({ ...parts(version), folder: folder.path });
}

function parts(version: string) {
  return { root: ROOT, binary: BUILT, version, arch: ARCH, epochSeconds: 1_700_000_000 } as const;
}

/** Prints the status; by Deno, because there may be no other client. */
function post(alertKey: string): string[] {
  const body = JSON.stringify({ integrationKey: "il1api123", eventType: "ALERT", summary: "Disk", alertKey });
  const code = `const { status } = await fetch("http://127.0.0.1:8977/api/events", {
    method: "POST", headers: { "content-type": "application/json" }, body: Deno.args[0],
  }).catch(() => ({ status: 0 })); await Deno.stdout.write(new TextEncoder().encode(String(status)));`;
  return ["env", "NO_PROXY=127.0.0.1", Deno.execPath(), "eval", "--no-config", code, body];
}
