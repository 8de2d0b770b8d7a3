/**
 * A Mosquitto of one's own on free loopback ports.
 *
 *     await using broker = await startMosquitto();
 *     mqtt.connect(broker.url("plain"))
 */

import { pbkdf2Sync, randomBytes } from "node:crypto";
import { join } from "node:path";
import { until } from "../../tests/support/until.ts";
import { Broker } from "./broker.ts";
import type { Certificates } from "./certificates.ts";
import { findMosquitto, type MosquittoProgram } from "./mosquitto_package.ts";
import { freePorts } from "./ports.ts";

export interface ListenerOptions {
  /** "mutual" wants a certificate of the client too. Needs `certificates`. */
  tls?: "server" | "mutual";
  /** Refuses whoever is not among `users`. */
  password?: boolean;
  websockets?: boolean;
}

export interface MosquittoOptions<Name extends string> {
  /** Default: `{ plain: {} }`. */
  listeners?: Readonly<Record<Name, ListenerOptions>>;
  certificates?: Certificates;
  /** Passwords by name. */
  users?: Readonly<Record<string, string>>;
  /**
   * Default true: sessions and what is queued for them survive stop(). A kill() loses what came after the last persist().
   */
  persistence?: boolean;
  /** Of QoS 1 and 2, per client. Default: what the client itself announces. */
  inflightMax?: number;
  /** Lines of mosquitto.conf, for the whole broker. */
  extraLines?: readonly string[];
}

const DATABASE = "mosquitto.db";
const READY = /: mosquitto version \S+ running/;
/** Mosquitto's own choice for what mosquitto_passwd writes. */
const PASSWORD_ITERATIONS = 101, SALT_BYTES = 12, HASH_BYTES = 64;

export async function startMosquitto<Name extends string = "plain">(
  options: MosquittoOptions<Name> = {},
): Promise<Mosquitto<Name>> {
  const program = findMosquitto();
  if (program === null) throw new Error("Mosquitto is not installed: deno task services install");
  return await Mosquitto.start(program, options);
}

export class Mosquitto<Name extends string = string> extends Broker {
  readonly #urls: ReadonlyMap<string, string>;

  private constructor(folder: string, program: MosquittoProgram, urls: ReadonlyMap<string, string>) {
    const args = ["-c", join(folder, "mosquitto.conf")];
    super(folder, { name: "Mosquitto", program: program.path, env: program.env, args, ready: READY });
    this.#urls = urls;
  }

  static async start<Name extends string>(
    program: MosquittoProgram,
    options: MosquittoOptions<Name>,
  ): Promise<Mosquitto<Name>> {
    const folder = await Deno.makeTempDir({ prefix: "ilagent-mosquitto-" });
    const urls = new Map<string, string>();
    const lines = [...brokerLines(folder, options)];
    const listeners = Object.entries<ListenerOptions>(options.listeners ?? { plain: {} });
    for (const [index, port] of (await freePorts(listeners.length)).entries()) {
      const [name, listener] = listeners[index] ?? ["", {}];
      urls.set(name, urlOf(listener, port));
      lines.push(...listenerLines(folder, port, listener, options.certificates));
    }
    await Deno.writeTextFile(join(folder, "mosquitto.conf"), lines.map((line) => `${line}\n`).join(""));
    await Deno.writeTextFile(join(folder, "passwords"), passwordLines(options.users ?? {}));
    const broker = new Mosquitto<Name>(folder, program, urls);
    await broker.run().catch(async (error: unknown) => {
      await broker[Symbol.asyncDispose]();
      throw error;
    });
    return broker;
  }

  /** Such as `mqtts://127.0.0.1:20117`. */
  url(listener: Name): string {
    const url = this.#urls.get(listener);
    if (url === undefined) throw new Error(`This Mosquitto has no listener "${listener}"`);
    return url;
  }

  port(listener: Name): number {
    return Number(new URL(this.url(listener)).port);
  }

  /** Puts on disk what a kill() would otherwise lose. */
  async persist(): Promise<void> {
    const before = await this.#databaseInode();
    this.signal("SIGUSR1");
    // It writes a new file and renames it.
    await until(async () => await this.#databaseInode() !== before, "Mosquitto has written its database");
  }

  async #databaseInode(): Promise<number | null> {
    const file = await Deno.stat(join(this.folder, DATABASE)).catch(() => null);
    return file?.ino ?? null;
  }
}

function* brokerLines(folder: string, options: MosquittoOptions<string>): Generator<string> {
  const { persistence = true, inflightMax = 0, extraLines = [] } = options;
  yield "per_listener_settings true";
  // Otherwise it gives up the rights of root and cannot read its own folder.
  if (Deno.uid() === 0) yield "user root";
  yield `max_inflight_messages ${inflightMax}`;
  // 0: no bound, so that any backlog fits.
  yield "max_queued_messages 0";
  yield `persistence ${persistence}`;
  yield `persistence_location ${folder}/`;
  yield `persistence_file ${DATABASE}`;
  yield* extraLines;
}

function* listenerLines(
  folder: string,
  port: number,
  { tls, password = false, websockets = false }: ListenerOptions,
  certificates?: Certificates,
): Generator<string> {
  yield `listener ${port} 127.0.0.1`;
  if (websockets) yield "protocol websockets";
  yield `allow_anonymous ${!password}`;
  if (password) yield `password_file ${join(folder, "passwords")}`;
  if (tls === undefined) return;
  if (certificates === undefined) throw new Error("A listener with TLS needs certificates");
  yield `cafile ${certificates.caFile}`;
  yield `certfile ${certificates.server.certFile}`;
  yield `keyfile ${certificates.server.keyFile}`;
  yield `require_certificate ${tls === "mutual"}`;
}

function urlOf({ tls, websockets }: ListenerOptions, port: number): string {
  const scheme = `${websockets ? "ws" : "mqtt"}${tls === undefined ? "" : "s"}`;
  return `${scheme}://127.0.0.1:${port}`;
}

function passwordLines(users: Readonly<Record<string, string>>): string {
  return Object.entries(users).map(([name, password]) => {
    const salt = randomBytes(SALT_BYTES);
    const hash = pbkdf2Sync(password, salt, PASSWORD_ITERATIONS, HASH_BYTES, "sha512");
    return `${name}:$7$${PASSWORD_ITERATIONS}$${salt.toString("base64")}$${hash.toString("base64")}\n`;
  }).join("");
}
