/** What code that turned hostile would try. Each answers how it went: `denied`, `allowed` or `failed: why`. */

import { spawn } from "node:child_process";
import { lookup } from "node:dns/promises";
import { connect } from "node:net";
import process from "node:process";
import { backup, DatabaseSync } from "node:sqlite";

export interface Targets {
  /** The agent's database. */
  file: string;
  /** `host:port` of whatever listens in the test, whether this mode may reach it or not. */
  addresses: string[];
  /** The agent's own address. */
  own: string;
  /** What a configuration may name, whether this mode does or not. */
  certificate: string;
  script: string;
  killPath: string;
}

/** What only these rights keep from happening is not tried by who has them without limits. */
export type Right = "net" | "read" | "write";

type Attempts = Record<string, () => unknown>;

/** Keeps a specifier out of the bundler's sight, as an attacker would. */
const hidden = (specifier: string) => import(specifier);

export async function attempts(
  targets: Targets,
  rightsKept: readonly Right[],
): Promise<Record<string, string>> {
  const tries: Attempts = {
    ...(rightsKept.includes("read") ? {} : readingAttempts(targets)),
    ...(rightsKept.includes("write") ? {} : writingAttempts(targets)),
    ...(rightsKept.includes("net") ? {} : networkAttempts(targets)),
    ...otherAttempts(targets),
  };
  const outcomes: Record<string, string> = {};
  for (const [name, attempt] of Object.entries(tries)) outcomes[name] = await outcomeOf(attempt);
  return outcomes;
}

function folderOf(file: string): string {
  return file.slice(0, file.lastIndexOf("/"));
}

function readingAttempts({ file, certificate }: Targets): Attempts {
  const folder = folderOf(file);
  return {
    "read /etc/passwd": () => Deno.readTextFileSync("/etc/passwd"),
    "fetch a file": () => fetch("file:///etc/passwd"),
    "read the process's environment": () => Deno.readTextFileSync("/proc/self/environ"),
    "read a neighbour of the database": () => Deno.readTextFileSync(`${folder}/secret.txt`),
    "read the certificate": () => Deno.readTextFileSync(certificate),
    "list the database's folder": () => [...Deno.readDirSync(folder)],
    "import a file": () => hidden(`file://${folder}/evil.js`),
    "start a worker that may read": () =>
      startedWorker("self.postMessage(Deno.readTextFileSync('/etc/passwd'))", { read: true }),
  };
}

function writingAttempts({ file, certificate, script }: Targets): Attempts {
  const folder = folderOf(file);
  return {
    "use the database": () => new DatabaseSync(file).exec("CREATE TABLE IF NOT EXISTS t (a)"),
    "write beside the database": () => Deno.writeTextFileSync(`${folder}/new.txt`, "x"),
    "write a temporary file": () => Deno.makeTempFileSync(),
    "write to a cache of responses": async () =>
      await (await caches.open("x")).put("http://x.invalid/", new Response("x")),
    "attach another database": () =>
      new DatabaseSync(":memory:").exec(`ATTACH '${folder}/other.db' AS o; CREATE TABLE o.t (a)`),
    "open another database": () => new DatabaseSync(`${folder}/other.db`),
    "copy a database into another file": () =>
      new DatabaseSync(":memory:").exec(`CREATE TABLE t (a); VACUUM INTO '${folder}/other.db'`),
    "back a database up into another file": () => backup(new DatabaseSync(":memory:"), `${folder}/other.db`),
    "put a link in place of the database": () => Deno.symlinkSync("/etc/passwd", file),
    "put another file in place of the database": () => Deno.linkSync(`${folder}/secret.txt`, file),
    "change the script": () => Deno.writeTextFileSync(script, "#!/bin/sh"),
    "change the certificate": () => Deno.writeTextFileSync(certificate, "x"),
  };
}

function networkAttempts({ addresses, own }: Targets): Attempts {
  const [first = ""] = addresses;
  const { hostname, port } = hostAndPort(first);
  const connecting = addresses.map((address) => [
    `connect to ${address}`,
    () => Deno.connect(hostAndPort(address)).then((connection) => connection.close()),
  ]);
  return {
    ...Object.fromEntries(connecting),
    [`listen on ${own}`]: () => Deno.listen(hostAndPort(own)).close(),
    "connect to another port": () => Deno.connect({ hostname, port: port + 1 }),
    "connect to another host": () => Deno.connect({ hostname: "127.0.0.2", port }),
    "connect through node:net": () =>
      new Promise((resolve, reject) => {
        const socket = connect(port + 1, hostname);
        socket.on("connect", resolve);
        socket.on("error", reject);
      }),
    "connect to a Unix socket": () => Deno.connect({ transport: "unix", path: "/run/x.sock" }),
    "fetch another host": () => fetch("http://127.0.0.2:8/"),
    "fetch through a proxy of its own choice": () =>
      fetch(`http://${first}/`, {
        client: Deno.createHttpClient({ proxy: { url: `http://127.0.0.2:${port}` } }),
      }),
    "open a websocket to another host": () =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket("ws://127.0.0.2:8/");
        socket.onopen = resolve;
        socket.onerror = (event) => reject(new Error((event as ErrorEvent).message));
      }),
    "listen on another port": () => Deno.listen({ hostname: "127.0.0.1", port: port + 1 }),
    "resolve a name": () => Deno.resolveDns("exfiltrated.example.invalid", "A"),
    "look a name up": () => lookup("exfiltrated.example.invalid"),
    "ask for more rights": async () => {
      const { state } = await Deno.permissions.request({ name: "net" });
      if (state !== "granted") throw new Deno.errors.NotCapable(state);
    },
  };
}

function otherAttempts({ script, killPath }: Targets): Attempts {
  return {
    "spawn a program": () => new Deno.Command("true").outputSync(),
    "spawn a shell": () => new Deno.Command("/bin/sh", { args: ["-c", "true"] }).outputSync(),
    "spawn a program through node": () =>
      new Promise((resolve, reject) => {
        const child = spawn("/bin/true");
        child.on("exit", resolve);
        child.on("error", reject);
      }),
    "run the script": () => new Deno.Command(script, { clearEnv: true }).outputSync(),
    "run the script with other code in it": () =>
      new Deno.Command(script, { env: { LD_PRELOAD: "/tmp/evil.so" } }).outputSync(),
    "run kill": () =>
      new Deno.Command(killPath, { args: ["-l"], clearEnv: true, stdout: "null" }).outputSync(),
    "kill another process": () => Deno.kill(Deno.ppid, "SIGCONT"),
    "kill another process through node": () => process.kill(process.ppid, "SIGCONT"),
    "read a variable": () => Deno.env.get("ILERT_API_HOST") ?? "",
    "list variables": () => Deno.env.toObject(),
    "ask the system for its name": () => Deno.hostname(),
    "open a debugger's port": async () => (await import("node:inspector")).open(0),
    "load native code": () => Deno.dlopen("libc.so.6", {}),
    "load native code through node": () => process.dlopen({ exports: {} }, "/tmp/x.node"),
    "load an SQLite extension": () =>
      new DatabaseSync(":memory:", { allowExtension: true }).loadExtension("/tmp/x.so"),
    "import a package": () => hidden("npm:is-number@7.0.0"),
    "import from the network": () => hidden("http://127.0.0.1:8/evil.js"),
    "start a worker that may run programs": () =>
      startedWorker("self.postMessage(new Deno.Command('true').outputSync())", { run: true }),
  };
}

function hostAndPort(address: string): { hostname: string; port: number } {
  const { hostname, port } = new URL(`http://${address}`);
  return { hostname, port: Number(port) };
}

async function outcomeOf(attempt: () => unknown): Promise<string> {
  try {
    const result = await attempt();
    // --ignore-env answers as if nothing were set, which is as good as a refusal.
    return result === "" || isEmptyObject(result) ? "denied" : "allowed";
  } catch (error) {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return /NotCapable|Requires .* access|not allowed|cached-only|--no-remote|npm specifiers were requested|NotFound.*npm|too many attached databases - max 0|Failed to create cache storage|EPERM/i
        .test(text)
      ? "denied"
      : `failed: ${text.slice(0, 200)}`;
  }
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === null &&
    Object.keys(value).length === 0;
}

function startedWorker(code: string, permissions: Deno.PermissionOptionsObject): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(`data:text/javascript,${code}`, { type: "module", deno: { permissions } });
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
  });
}
