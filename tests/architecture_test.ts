import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { importsOf } from "../scripts/architecture/imports.ts";
import { PACKAGES } from "../scripts/architecture/rules.ts";
import { readTree } from "../scripts/architecture/tree.ts";
import { RULE_NAMES, violations } from "../scripts/architecture/violations.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** In pieces, because this file is checked too. */
const HOME = ["", "home", "someone"].join("/");

/** A project that keeps every rule. */
const SOUND: Record<string, string> = {
  "deno.json":
    '{ "imports": { "prom-client": "npm:prom-client@1.0.0", "prom-client/": "npm:/prom-client@1.0.0/", "yaml": "npm:yaml@1.0.0" } }',
  "main.ts":
    'if (worker) await import("./src/jail/worker.ts");\nelse await import("./src/commands/run.ts");\n',
  "src/commands/run.ts":
    'import "../config/file.ts";\nimport type { Job } from "../jail/messages.ts";\nimport "../runtime/version.ts";\n',
  "src/clients/prom_client.ts": 'import registry from "prom-client/lib/registry.js";\n',
  "src/commands/daemon_job.ts": 'import { runRelay } from "../relay.ts";\n',
  "src/config/file.ts": 'import { resolve } from "node:path";\nawait import("yaml");\n',
  "src/domain/event.ts": "export interface AlertEvent { summary: string }\n",
  "src/delivery/loop.ts":
    'import type { Ping } from "../ilert/api.ts";\nimport type { EventQueue } from "../queue/queue.ts";\n',
  "src/ilert/api.ts": "export interface Ping { code: number }\n",
  "src/jail/messages.ts": 'import type { Job } from "../commands/daemon_job.ts";\n',
  "src/jail/worker.ts": 'await import("../commands/daemon_job.ts");\n',
  "src/queue/queue.ts": 'import type { AlertEvent } from "../domain/event.ts";\n',
  "src/queue/sqlite_queue.ts": 'import { DatabaseSync } from "node:sqlite";\nimport "./queue.ts";\n',
  "src/relay.ts":
    'import "./clients/prom_client.ts";\nimport "./delivery/loop.ts";\nimport "./ilert/api.ts";\nimport "./queue/sqlite_queue.ts";\nimport "./sources/http.ts";\n',
  "src/runtime/version.ts": 'import manifest from "../../deno.json" with { type: "json" };\n',
  "src/sources/http.ts": 'import type { EventQueue } from "../queue/queue.ts";\n',
  "scripts/build.ts": 'import "./build/bundle.ts";\nconsole.log("built");\n',
  "scripts/build/bundle.ts": "const name = chosen();\nawait import(name);\n",
  "tests/queue/sqlite_queue_test.ts": 'import "../support/fake_clock.ts";\n',
  "tests/support/fake_clock.ts": "export const now = 0;\n",
};

function after(changes: Record<string, string>): string[] {
  return violations(new Map(Object.entries({ ...SOUND, ...changes })));
}

const BREACHES: {
  what: string;
  changes: Record<string, string>;
  /** How the line starts, up to the rule. */
  at: string;
  says: RegExp;
}[] = [
  {
    what: "a stray file at the top",
    changes: { "package.json": "{}" },
    at: "package.json:1: top level:",
    says: /package\.json does not belong/,
  },
  {
    what: "a stray folder at the top, once",
    changes: { "lib/a.json": "", "lib/b.json": "" },
    at: "lib/a.json:1: top level:",
    says: /lib does not belong/,
  },
  {
    what: "a domain file that imports the runtime",
    changes: {
      "src/domain/event.ts": '\nimport type { Log } from "../runtime/version.ts";\n',
    },
    at: "src/domain/event.ts:2: import arrow:",
    says: /imports src\/runtime\/version\.ts, src\/domain\/ may import src\/domain\//,
  },
  {
    what: "an adapter that imports another adapter",
    changes: { "src/sources/http.ts": 'import { SqliteQueue } from "../queue/sqlite_queue.ts";\n' },
    at: "src/sources/http.ts:1: import arrow:",
    says: /imports src\/queue\/sqlite_queue\.ts/,
  },
  {
    what: "an adapter that re-exports another adapter",
    changes: { "src/sources/http.ts": 'export * from "../ilert/api.ts";\n' },
    at: "src/sources/http.ts:1: import arrow:",
    says: /imports src\/ilert\/api\.ts/,
  },
  {
    what: "the delivery loop with more than types of ilert's client",
    changes: { "src/delivery/loop.ts": 'import { IlertApi } from "../ilert/api.ts";\n' },
    at: "src/delivery/loop.ts:1: import arrow:",
    says: /only types are allowed: write 'import type'/,
  },
  {
    what: "a port that knows its adapter",
    changes: { "src/queue/queue.ts": 'export { SqliteQueue } from "./sqlite_queue.ts";\n' },
    at: "src/queue/queue.ts:1: import arrow:",
    says: /imports src\/queue\/sqlite_queue\.ts/,
  },
  {
    what: "the program importing a test's fake",
    changes: { "src/relay.ts": `${SOUND["src/relay.ts"]}import "../tests/support/fake_clock.ts";\n` },
    at: "src/relay.ts:6: import arrow:",
    says: /imports tests\/support\/fake_clock\.ts/,
  },
  {
    what: "a folder nobody decided on",
    changes: {
      "src/cache/lru.ts": "export const size = 1;\n",
      "scripts/build.ts": 'import "../src/cache/lru.ts";\nimport "./build/bundle.ts";\n',
    },
    at: "src/cache/lru.ts:1: import arrow:",
    says: /no row in ARROWS/,
  },
  {
    what: "a package imported past deno.json",
    changes: { "src/sources/http.ts": 'import leftPad from "npm:left-pad";\n' },
    at: "src/sources/http.ts:1: import origin:",
    says: /"npm:left-pad" directly/,
  },
  {
    what: "a computed import in the program",
    changes: { "src/sources/http.ts": 'await import("./" + name);\n' },
    at: "src/sources/http.ts:1: import origin:",
    says: /computed/,
  },
  {
    what: "a second importer of a package",
    changes: { "src/queue/queue.ts": 'import type { Gauge } from "prom-client/gauge";\n' },
    at: "src/queue/queue.ts:1: package:",
    says: /only src\/clients\/prom_client\.ts may/,
  },
  {
    what: "a package that nothing imports",
    changes: { "src/clients/prom_client.ts": "" },
    at: "deno.json:1: package:",
    says: /nothing imports "prom-client"/,
  },
  {
    what: "a package without an importer of its own",
    changes: {
      "deno.json":
        '{ "imports": {\n"prom-client": "npm:prom-client@1",\n"yaml": "npm:yaml@1",\n"left-pad": "npm:left-pad@1" } }',
      "src/sources/http.ts": 'import "left-pad";\n',
    },
    at: "deno.json:4: package:",
    says: /"left-pad" has no row in PACKAGES/,
  },
  {
    what: "SQLite outside the queue",
    changes: { "src/sources/http.ts": 'import type { DatabaseSync } from "node:sqlite";\n' },
    at: "src/sources/http.ts:1: built-in module:",
    says: /only src\/queue\/ may/,
  },
  {
    what: "a built-in module the program does not use",
    changes: { "src/sources/http.ts": 'import { spawn } from "node:child_process";\n' },
    at: "src/sources/http.ts:1: built-in module:",
    says: /no row in NODE_MODULES/,
  },
  {
    what: "code of others on the main thread",
    changes: { "src/commands/run.ts": 'import "../config/file.ts";\nimport "../clients/prom_client.ts";\n' },
    at: "src/clients/prom_client.ts:1: main thread:",
    says: /"prom-client".*main\.ts → src\/commands\/run\.ts → src\/clients\/prom_client\.ts/,
  },
  {
    what: "a worker's role that another file than the entry evaluates",
    changes: {
      "main.ts": `${SOUND["main.ts"]}await import("./src/jail/broker_worker.ts");\n`,
      "src/commands/run.ts": `${SOUND["src/commands/run.ts"]}import "../jail/supervisor.ts";\n`,
      "src/jail/supervisor.ts": 'import "./broker_worker.ts";\n',
      "src/jail/broker_worker.ts": 'import "../clients/kafka/sockets.ts";\n',
      "src/clients/kafka/sockets.ts": 'import "node:net";\n',
    },
    at: "src/clients/kafka/sockets.ts:1: main thread:",
    says: /"node:net".*supervisor\.ts → src\/jail\/broker_worker\.ts/,
  },
  {
    what: "more code where programs may be run than was read for it",
    changes: {
      "main.ts": `${SOUND["main.ts"]}await import("./src/jail/script_worker.ts");\n`,
      "src/jail/script_worker.ts": 'import "../runtime/version.ts";\n',
    },
    at: "src/jail/script_worker.ts:1: script worker:",
    says: /"src\/runtime\/version\.ts" is evaluated where programs may be run/,
  },
  {
    what: "a file of the program that only its test imports",
    changes: {
      "src/domain/ledger.ts": "",
      "tests/domain/ledger_test.ts": 'import "../../src/domain/ledger.ts";\n',
    },
    at: "src/domain/ledger.ts:1: leftover:",
    says: /nothing in main\.ts, scripts\/\*\.ts leads here/,
  },
  {
    what: "two leftovers that import each other",
    changes: {
      "scripts/release/notes.ts": 'import "./tag.ts";\n',
      "scripts/release/tag.ts": 'import "./notes.ts";\n',
    },
    at: "scripts/release/notes.ts:1: leftover:",
    says: /leads here/,
  },
  {
    what: "a fake that no test uses",
    changes: { "tests/support/fake_disk.ts": "" },
    at: "tests/support/fake_disk.ts:1: leftover:",
    says: /leads here/,
  },
  {
    what: "a vague file name",
    changes: { "tests/queue/queue_helpers.ts": "" },
    at: "tests/queue/queue_helpers.ts:1: vague name:",
    says: /"queue_helpers" says nothing/,
  },
  {
    what: "a vague folder name",
    changes: { "docs/common/index.md": "" },
    at: "docs/common/index.md:1: vague name:",
    says: /"common" says nothing/,
  },
  {
    what: "a file of types",
    changes: { "tests/queue/types.ts": "" },
    at: "tests/queue/types.ts:1: vague name:",
    says: /"types" says nothing/,
  },
  {
    what: "a long file",
    changes: { "src/sources/http.ts": "// a line\n".repeat(401) },
    at: "src/sources/http.ts:401: file length:",
    says: /has 401 lines/,
  },
  {
    what: "console in the program",
    changes: { "src/sources/http.ts": "// console.log\n`${console.log(1)}`;\n" },
    at: "src/sources/http.ts:2: console:",
    says: /src\/runtime\/log\.ts/,
  },
  {
    what: "a path of one machine, in any file",
    changes: { "docs/guide.md": `Run it:\n\n    cd ${HOME}/ilagent\n` },
    at: "docs/guide.md:3: machine path:",
    says: /someone exists on one machine only/,
  },
];

Deno.test("violations() finds nothing in a project that keeps every rule", () => {
  assert.deepEqual(after({}), []);
});

for (const { what, changes, at, says } of BREACHES) {
  Deno.test(`violations() finds ${what}`, () => {
    const found = after(changes).filter((line) => line.startsWith(at));
    assert.equal(found.length, 1, after(changes).join("\n"));
    assert.match(found[0] ?? "", says);
  });
}

Deno.test("violations() has each of its rules shown by a breach", () => {
  const shown = new Set(BREACHES.map(({ at }) => at.split(": ")[1]?.replace(/:$/, "")));
  assert.deepEqual(RULE_NAMES.filter((rule) => !shown.has(rule)), []);
});

Deno.test("violations() lets web addresses, folders of the project and the word console in text be", () => {
  const found = after({
    "docs/guide.md": "See https://example.com/home/page and $HOME/.cache and ./root/file, say /home/ too.\n",
    "src/sources/http.ts": 'const help = "console.log"; // console.log\n/console/.test(help);\n',
  });
  assert.deepEqual(found, []);
});

Deno.test("violations() finds nothing in this project", async () => {
  assert.deepEqual(violations(await readTree(ROOT)), []);
});

Deno.test("PACKAGES names only packages of deno.json", async () => {
  const manifest: { imports: Record<string, string> } = JSON.parse(
    await Deno.readTextFile(`${ROOT}/deno.json`),
  );
  assert.deepEqual(Object.keys(PACKAGES).filter((name) => !Object.hasOwn(manifest.imports, name)), []);
});

Deno.test("importsOf() reads every form of import, with its line", () => {
  const source = [
    'import "./bare.ts";',
    'import one from "./default.ts";',
    'import one, { two as three } from "./both.ts";',
    "import {",
    "  from,",
    "  type Four,",
    "} from './lines.ts';",
    'import * as all from "./all.ts"; import type { Five } from "./type.ts";',
    'import type Six from "./type_default.ts";',
    'import type from "./named_type.ts";',
    'export { seven } from "./export.ts";',
    'export type { Eight } from "./export_type.ts";',
    'export * as nine from "./export_all.ts";',
    'import data from "./data.json" with { type: "json" };',
    'const ten = await import("./dynamic.ts");',
    'const data = await import("./dynamic.json", { with: { type: "json" } });',
    "const eleven = `${await import(`./template.ts`)}`;",
    "const twelve = await import(name);",
    "const thirteen = await import(`./${name}.ts`);",
  ];
  const read = importsOf(source.join("\n")).map(({ specifier, line, isTypeOnly }) =>
    `${line} ${specifier}${isTypeOnly ? " type" : ""}`
  );
  assert.deepEqual(read, [
    "1 ./bare.ts",
    "2 ./default.ts",
    "3 ./both.ts",
    "4 ./lines.ts",
    "8 ./all.ts",
    "8 ./type.ts type",
    "9 ./type_default.ts type",
    "10 ./named_type.ts",
    "11 ./export.ts",
    "12 ./export_type.ts type",
    "13 ./export_all.ts",
    "14 ./data.json",
    "15 ./dynamic.ts",
    "16 ./dynamic.json",
    "17 ./template.ts",
    "18 null",
    "19 null",
  ]);
});

Deno.test("importsOf() is not misled by comments, strings, templates and regular expressions", () => {
  const source = [
    '// import "./comment.ts";',
    '/* import "./comment.ts"; */ const url = import.meta.url;',
    "const text = \"import './string.ts'\" + 'it\\'s import \"./string.ts\"';",
    'const template = `import "./template.ts" ${map({ a: `${"}"}` })} export * from "./template.ts"`;',
    "const quote = /[/'\"`]/.test(text) ? 4 / 2 / 1 : text.replace(/'/g, '');",
    "export { text };",
    'const from = "./local.ts";',
    "object.import('./method.ts'); const import_ = { import: 1, export: 2 };",
    'export const last = "x"; import "./real.ts";',
  ];
  assert.deepEqual(importsOf(source.join("\n")), [
    { specifier: "./real.ts", line: 9, isTypeOnly: false },
  ]);
});
