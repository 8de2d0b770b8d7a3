import assert from "node:assert/strict";
import type { EdgeConfig } from "../../src/edge/edge_config.ts";
import { systemdDropIn } from "../../src/commands/systemd_drop_in.ts";
import { type Permissions, relayPermissions } from "../../src/jail/permissions.ts";
import type { RelayConfig } from "../../src/relay.ts";

const RELAY = {
  file: "/var/lib/ilagent/ilagent.db3",
  server: { hostname: "127.0.0.1", port: 8977 },
  consumers: null,
  heartbeatKey: null,
  apiHost: "http://10.0.0.5:8080",
  heartbeatHost: "https://[fd00::1]",
} as unknown as RelayConfig;
const EDGE = { ...RELAY, server: null, sink: { kind: "stdout" } } as unknown as EdgeConfig;

Deno.test("systemdDropIn() lets the agent bind its port and no other, and write the database's folder and no other", () => {
  const lines = dropIn(RELAY);
  assert.deepEqual(settingsOf(lines, "SocketBindDeny", "SocketBindAllow"), ["any", "tcp:8977"]);
  assert.deepEqual(settingsOf(lines, "ProtectSystem", "ReadWritePaths"), ["strict", "/var/lib/ilagent"]);
  assert.deepEqual(settingsOf(dropIn({ ...RELAY, server: null }), "SocketBindDeny", "SocketBindAllow"), [
    "any",
  ]);
});

Deno.test("systemdDropIn() allows the addresses of hosts that are addresses, and denies all others", () => {
  const lines = dropIn(RELAY);
  assert.deepEqual(settingsOf(lines, "IPAddressDeny", "IPAddressAllow"), [
    "any",
    "localhost 10.0.0.5 fd00::1",
  ]);
});

Deno.test("systemdDropIn() filters no addresses where it cannot know all of them, and says what is missing", () => {
  const cases: [RelayConfig | EdgeConfig, Partial<Permissions>, string[], string[]][] = [
    [{ ...RELAY, apiHost: "https://api.ilert.com" }, {}, [], ["api.ilert.com", "your name servers"]],
    [
      { ...RELAY, server: { ...RELAY.server!, hostname: "0.0.0.0" } },
      {},
      [],
      ["the senders that may reach the agent's port"],
    ],
    [RELAY, {}, ["HTTPS_PROXY=proxy:3128"], ["the proxy of HTTPS_PROXY=proxy:3128"]],
    [
      { ...EDGE, sink: { kind: "kafka" } } as EdgeConfig,
      { net: ["10.0.0.7:9092"] },
      [],
      ["the brokers that Kafka announces"],
    ],
    [
      { ...RELAY, consumers: { kafka: {} } } as RelayConfig,
      {},
      [],
      ["the brokers that Kafka announces"],
    ],
  ];
  for (const [config, permissions, proxies, missing] of cases) {
    const lines = dropIn(config, permissions, proxies);
    assert.deepEqual(settingsOf(lines, "IPAddressDeny", "IPAddressAllow"), []);
    assert.equal(lines.filter((line) => line.startsWith("#IPAddress")).length, 2);
    assert.deepEqual(lines.filter((line) => line.startsWith("#   ")).map((line) => line.slice(4)), missing);
  }
});

Deno.test("systemdDropIn() names files that are only read, shows a hidden home, and quotes as systemd reads it", () => {
  const lines = dropIn({ ...RELAY, file: "/run/user/1000/a b/50%.db3" }, { read: ["/etc/ca 1.pem"] });
  assert.deepEqual(settingsOf(lines, "ReadWritePaths", "ReadOnlyPaths", "ProtectHome"), [
    "read-only",
    '"/run/user/1000/a b"',
    '"/etc/ca 1.pem"',
  ]);
  assert.deepEqual(settingsOf(dropIn({ ...RELAY, file: "/srv/50%/a.db3" }), "ReadWritePaths"), ["/srv/50%%"]);
  assert.deepEqual(settingsOf(dropIn(RELAY), "ProtectHome"), []);
});

Deno.test("systemdDropIn() says that the script runs within the limits", () => {
  const script = { ...EDGE, sink: { kind: "script", path: "/opt/notify.sh", env: {} } } as EdgeConfig;
  assert.ok(dropIn(script).some((line) => line.startsWith("# The script")));
  assert.ok(!dropIn(EDGE).some((line) => line.startsWith("# The script")));
});

function dropIn(
  config: RelayConfig | EdgeConfig,
  more: Partial<Permissions> = {},
  proxies: string[] = [],
): string[] {
  const permissions = relayPermissions(config as RelayConfig);
  const read = [...permissions.read, ...(more.read ?? [])];
  return systemdDropIn({ ...permissions, ...more, read }, config, proxies).split("\n");
}

function settingsOf(lines: string[], ...names: string[]): string[] {
  return lines.filter((line) => names.some((name) => line.startsWith(`${name}=`)))
    .map((line) => line.replace(/^\w+=/, ""));
}
