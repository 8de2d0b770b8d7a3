/**
 * The rules of this project's structure, as tables to read and to extend. `violations.ts` applies them.
 *
 * A path that ends in a slash means everything in that folder, `*` any text within one name, `**` any text.
 */

/** Beside these only what `.gitignore` lists may lie at the top. */
export const TOP_LEVEL: readonly string[] = [
  "main.ts",
  "deno.json",
  "deno.lock",
  "src",
  "tests",
  "scripts",
  "docs",
  ".github",
  ".ci",
  "README.md",
  "LICENSE",
  ".gitignore",
  ".gitattributes",
  ".editorconfig",
  ".dockerignore",
];

export interface Arrow {
  from: string;
  may: readonly string[];
  /** Allowed for `import type` only: knowing a shape is not depending on an implementation. */
  mayType?: readonly string[];
}

const CORE = ["src/domain/", "src/runtime/"];

/**
 * domain ← ports ← adapters ← relay.ts | edge.ts. The first row that fits a file is its rule, so narrow rows come
 * before wide ones. A file without a row is a violation: a new folder needs a decision.
 */
export const ARROWS: readonly Arrow[] = [
  { from: "src/domain/", may: ["src/domain/"] },
  { from: "src/runtime/version.ts", may: ["deno.json"] },
  { from: "src/runtime/", may: ["src/runtime/"] },

  // Ports and adapters: themselves, the core, the ports they use, their client library.
  { from: "src/queue/queue.ts", may: ["src/domain/"] },
  { from: "src/queue/messages.ts", may: ["src/domain/"] },
  // The main thread asks this file which files the jail must open, so it stays free of everything else.
  { from: "src/queue/database_files.ts", may: [] },
  { from: "src/ilert/heartbeat_keys.ts", may: [] },
  {
    from: "src/queue/*edge*.ts",
    may: [...CORE, "src/queue/"],
    mayType: ["src/edge/edge_store.ts"],
  },
  { from: "src/queue/", may: [...CORE, "src/queue/", "src/clients/"] },
  {
    from: "src/sources/",
    may: [
      ...CORE,
      "src/sources/",
      "src/queue/queue.ts",
      "src/queue/messages.ts",
      "src/server/answers.ts",
      "src/server/body.ts",
      "src/clients/",
    ],
  },
  { from: "src/delivery/", may: [...CORE, "src/delivery/", "src/queue/queue.ts"], mayType: ["src/ilert/"] },
  { from: "src/ilert/", may: [...CORE, "src/ilert/"] },
  { from: "src/server/", may: [...CORE, "src/server/"] },
  {
    from: "src/edge/edge_config.ts",
    may: [],
    mayType: ["src/clients/*_connection.ts", "src/server/http_server.ts"],
  },
  { from: "src/edge/", may: [...CORE, "src/edge/"], mayType: ["src/ilert/", "src/sinks/"] },
  // The conversation with the worker that runs the script is all a sink knows of the jail.
  {
    from: "src/sinks/script.ts",
    may: [...CORE, "src/sinks/sink.ts", "src/jail/script_messages.ts"],
  },
  { from: "src/sinks/create_sink.ts", may: [...CORE, "src/sinks/"], mayType: ["src/edge/edge_config.ts"] },
  { from: "src/sinks/", may: [...CORE, "src/sinks/", "src/clients/"] },
  { from: "src/cluster/", may: [...CORE, "src/cluster/", "src/clients/"] },
  { from: "src/clients/", may: [...CORE, "src/clients/"] },

  // Composition: the only places that know more than one adapter.
  {
    from: "src/relay.ts",
    may: [
      ...CORE,
      "src/relay/",
      "src/sources/",
      "src/queue/",
      "src/delivery/",
      "src/ilert/",
      "src/server/",
      "src/cluster/",
      "src/clients/",
    ],
  },
  {
    from: "src/relay/",
    may: [
      ...CORE,
      "src/relay/",
      "src/sources/",
      "src/queue/",
      "src/delivery/",
      "src/ilert/",
      "src/server/",
      "src/cluster/",
      "src/clients/",
    ],
  },
  {
    from: "src/edge.ts",
    may: [
      ...CORE,
      "src/edge/",
      "src/sinks/",
      "src/queue/",
      "src/delivery/",
      "src/ilert/",
      "src/server/",
      "src/cluster/",
      "src/clients/",
    ],
  },
  {
    from: "src/commands/*_job.ts",
    may: [
      ...CORE,
      "src/relay.ts",
      "src/edge.ts",
      "src/queue/",
      "src/ilert/",
      "src/commands/sending.ts",
      "src/commands/daemon_events.ts",
    ],
    mayType: ["src/edge/edge_config.ts"],
  },

  // Outside the jail: reads the settings, knows of the flows only what they are told and may reach.
  { from: "main.ts", may: ["src/commands/run.ts", "src/jail/worker.ts", "src/jail/*_worker.ts"] },
  {
    from: "src/config/",
    may: [...CORE, "src/config/"],
    mayType: [
      "src/relay.ts",
      "src/edge/edge_config.ts",
      "src/sources/consumers_config.ts",
      "src/clients/*_connection.ts",
      "src/server/http_server.ts",
    ],
  },
  {
    from: "src/commands/run.ts",
    may: [
      ...CORE,
      "src/config/",
      "src/jail/messages.ts",
      "src/jail/permissions.ts",
      "src/jail/supervisor.ts",
      "src/commands/daemon.ts",
      "src/commands/message_input.ts",
      "src/commands/permissions.ts",
      "src/commands/systemd_drop_in.ts",
    ],
    mayType: ["src/queue/operator.ts", "src/config/brokers.ts"],
  },
  {
    from: "src/commands/daemon.ts",
    may: [
      ...CORE,
      "src/jail/kafka_supervisor.ts",
      "src/jail/messages.ts",
      "src/jail/permissions.ts",
      "src/jail/supervisor.ts",
    ],
    mayType: [
      "src/config/daemon.ts",
      "src/clients/kafka_connection.ts",
      "src/edge/edge_config.ts",
      "src/jail/script_messages.ts",
    ],
  },
  {
    from: "src/commands/permissions.ts",
    may: ["src/runtime/", "src/jail/permissions.ts"],
    mayType: ["src/jail/script_messages.ts"],
  },
  {
    from: "src/commands/systemd_drop_in.ts",
    may: [],
    mayType: ["src/jail/permissions.ts", "src/relay.ts", "src/edge/edge_config.ts"],
  },
  { from: "src/commands/", may: [...CORE] },
  {
    from: "src/jail/worker.ts",
    may: ["src/runtime/", "src/jail/messages.ts", "src/commands/*_job.ts"],
  },
  { from: "src/jail/messages.ts", may: [], mayType: ["src/commands/*_job.ts"] },
  { from: "src/jail/script_messages.ts", may: [] },
  {
    from: "src/jail/script_runner.ts",
    may: ["src/runtime/", "src/jail/script_messages.ts", "src/jail/script_output.ts"],
  },
  {
    from: "src/jail/script_worker.ts",
    may: ["src/runtime/", "src/jail/messages.ts", "src/jail/script_messages.ts", "src/jail/script_runner.ts"],
  },
  { from: "src/jail/broker_messages.ts", may: [], mayType: ["src/clients/*_connection.ts"] },
  {
    from: "src/jail/broker_worker.ts",
    may: ["src/runtime/", "src/clients/kafka/", "src/jail/broker_messages.ts"],
    mayType: ["src/clients/*_connection.ts"],
  },
  {
    from: "src/jail/",
    may: ["src/runtime/", "src/jail/", "src/queue/database_files.ts", "src/ilert/heartbeat_keys.ts"],
    mayType: ["src/relay.ts", "src/edge/edge_config.ts", "src/clients/*_connection.ts"],
  },

  // Around the program. The emulator of ilert serves the tests and, by hand, everybody.
  { from: "scripts/", may: ["scripts/", "src/", "tests/support/", "deno.json"] },
  { from: "tests/support/", may: ["src/", "scripts/", "tests/support/", "deno.json"] },
  { from: "tests/", may: ["main.ts", "src/", "scripts/", "tests/", "deno.json"] },
];

/**
 * Third-party package → its importers. Only one kind of file each is part of the program, so that each package can be
 * replaced there; tests meet the brokers through a client of their own, and benches through the bare packages.
 */
export const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "@logtape/logtape": ["src/runtime/log.ts"],
  "fast-check": ["tests/"],
  "kafkajs": [
    "src/clients/kafka/client.ts",
    "tests/support/kafka_peer.ts",
    "scripts/bench/bare_kafka.ts",
    "scripts/bench/edge_bare.ts",
  ],
  "mqtt": [
    "src/clients/mqtt/connection.ts",
    "tests/support/mqtt_peer.ts",
    "scripts/bench/bare_mqtt.ts",
    "scripts/bench/edge_bare.ts",
  ],
  "prom-client": ["src/clients/prom_client.ts"],
  "yaml": ["src/config/file.ts"],
};

/** Built-in module → where the program may use it. Scripts and tests may use any. */
export const NODE_MODULES: Readonly<Record<string, readonly string[]>> = {
  "node:buffer": ["src/clients/kafka/", "src/clients/read_buffer.ts"],
  "node:crypto": ["src/clients/tls_material.ts"],
  "node:fs": ["src/sinks/create_sink.ts"],
  "node:net": [
    "src/clients/kafka/sockets.ts",
    "src/clients/mqtt/connection.ts",
    "src/clients/read_buffer.ts",
  ],
  "node:path": ["src/config/", "src/commands/"],
  "node:process": ["src/runtime/process_warnings.ts"],
  "node:sqlite": ["src/queue/"],
  "node:timers": ["src/runtime/"],
  "node:tls": ["src/clients/kafka/"],
  "node:util": ["src/config/"],
  "node:zlib": ["src/clients/kafka/decompression.ts"],
};

/**
 * What runs before the rights are narrowed (design decision 4): everything `main.ts` reaches except through the
 * roles of the workers, which are evaluated inside the jail only.
 */
export const MAIN_THREAD = {
  entry: "main.ts",
  without: ["src/jail/worker.ts", "src/jail/broker_worker.ts", "src/jail/script_worker.ts"],
  mayEvaluate: ["yaml", "node:path", "node:util"],
} as const;

/**
 * All that is evaluated in the worker that may run the script: that right is nearly every right its user has, so each
 * of these files was read for it, and neither a package nor a built-in module is among them.
 */
export const SCRIPT_WORKER = {
  entry: "src/jail/script_worker.ts",
  files: [
    "src/jail/script_worker.ts",
    "src/jail/script_runner.ts",
    "src/jail/script_output.ts",
    "src/jail/script_messages.ts",
    "src/jail/messages.ts",
    "src/runtime/clock.ts",
    "src/runtime/failure.ts",
  ],
} as const;

/** Where a file that nothing reaches is a leftover, and from where it must be reached. */
export const REACHED: readonly { files: string; from: readonly string[] }[] = [
  { files: "src/", from: ["main.ts", "scripts/*.ts"] },
  { files: "scripts/", from: ["main.ts", "scripts/*.ts"] },
  { files: "tests/support/", from: ["scripts/*.ts", "tests/**_test.ts"] },
];

/** Started by path as a process or worker of their own, so no import leads there. */
export const STARTED_BY_PATH: readonly string[] = ["scripts/packaging/docker/probe.js"];

/** As a file's or folder's name or a word of it: each says only that somebody did not know what it is. */
export const VAGUE_WORDS: readonly string[] = [
  "util",
  "utils",
  "helper",
  "helpers",
  "common",
  "misc",
  "manager",
];
export const VAGUE_NAMES: readonly string[] = ["types"];

export const SOURCE_LINES_MAX = 400;

export function fits(path: string, pattern: string): boolean {
  if (pattern.endsWith("/")) return path.startsWith(pattern);
  const expression = pattern.replace(/[.+?^$(){}|[\]\\]/g, "\\$&")
    .replace(/\*+/g, (stars) => stars.length > 1 ? ".*" : "[^/]*");
  return new RegExp(`^${expression}$`).test(path);
}

export function fitsAny(path: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => fits(path, pattern));
}
