/**
 * Real brokers, and the tools that tests of a release use: `deno task services install`, then `… start mosquitto` or
 * `… start kafka`. Exit codes: that of the command for `with`, else 0, 1 when something is missing or fails, 2 for a
 * wrong argument.
 */

import { signalChild } from "../tests/support/watched_process.ts";
import { Certificates } from "./services/certificates.ts";
import { installFaketime } from "./services/faketime.ts";
import { installGoTool } from "./services/go_tools.ts";
import { installKafka, startKafka } from "./services/kafka.ts";
import { startMosquitto } from "./services/mosquitto.ts";
import { installMosquitto } from "./services/mosquitto_package.ts";
import { handOver } from "./services/shared_kafka.ts";

const USAGE =
  `Usage: deno task services install [NAME...]             mosquitto, kafka, faketime, actionlint, nfpm; all, unless some are named
       deno task services start mosquitto|kafka         until Ctrl-C
       deno task services with kafka COMMAND...         one Kafka for all tests that COMMAND runs`;
const INSTALLERS: Readonly<Record<string, () => Promise<unknown>>> = {
  mosquitto: installMosquitto,
  kafka: installKafka,
  faketime: installFaketime,
  actionlint: () => installGoTool("actionlint"),
  nfpm: () => installGoTool("nfpm"),
};
const STARTERS: Readonly<Record<string, (stop: Promise<void>) => Promise<void>>> = {
  mosquitto: showMosquitto,
  kafka: showKafka,
};
const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** By hand there is one of each: `alice` on the listeners with a password. */
const USERS = { alice: "secret" };

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main([command, ...names]: string[]): Promise<number> {
  try {
    if (command === "install" && names.every((name) => name in INSTALLERS)) return await install(names);
    const show = STARTERS[names[0] ?? ""];
    if (command === "start" && names.length === 1 && show !== undefined) {
      await show(interrupted());
      return 0;
    }
    if (command === "with" && names[0] === "kafka" && names.length > 1) {
      return await withKafka(names.slice(1));
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    console.error(error.message);
    return 1;
  }
  console.error(USAGE);
  return 2;
}

/** Each of them, so that one run shows everything that is missing. */
async function install(names: string[]): Promise<number> {
  let code = 0;
  for (const name of names.length === 0 ? Object.keys(INSTALLERS) : names) {
    try {
      await INSTALLERS[name]?.();
      console.log(`${name}: installed`);
    } catch (error) {
      console.error(`${name}: ${error instanceof Error ? error.message : error}`);
      code = 1;
    }
  }
  return code;
}

async function showMosquitto(stop: Promise<void>): Promise<void> {
  await using certificates = await Certificates.create();
  const listeners = {
    plain: {},
    password: { password: true },
    tls: { tls: "server" },
    mutual: { tls: "mutual" },
    websockets: { websockets: true },
  } as const;
  await using broker = await startMosquitto({ listeners, certificates, users: USERS });
  const names = Object.keys(listeners) as (keyof typeof listeners)[];
  showListeners(names.map((name) => [name, broker.url(name)]), certificates);
  await stop;
}

async function showKafka(stop: Promise<void>): Promise<void> {
  await using certificates = await Certificates.create();
  await using kafka = await startKafka({ certificates, users: USERS });
  const names = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] as const;
  showListeners(names.map((name) => [name, kafka.address(name)]), certificates);
  await stop;
}

function showListeners(listeners: [string, string][], { caFile, client }: Certificates): void {
  for (const [name, address] of listeners) console.log(`${name.padEnd(15)} ${address}`);
  const [[user, password] = ["", ""]] = Object.entries(USERS);
  console.log(
    `authority ${caFile}\nclient    ${client.certFile} ${client.keyFile}\nuser      ${user} ${password}`,
  );
}

/** Where Kafka cannot be started the command runs all the same: each test that needs it then says so by name. */
async function withKafka([program = "", ...args]: string[]): Promise<number> {
  await using shared = await handOver().catch((error: unknown) => {
    console.error(`No Kafka for the tests: ${error instanceof Error ? error.message : error}`);
    return null;
  });
  // Through npx there may be no Deno, or another one, on the PATH.
  const path = program === "deno" ? Deno.execPath() : program;
  const child = new Deno.Command(path, { args, env: shared?.env ?? {} }).spawn();
  for (const signal of SIGNALS) Deno.addSignalListener(signal, () => signalChild(child, signal));
  return (await child.status).code;
}

function interrupted(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const signal of SIGNALS) Deno.addSignalListener(signal, resolve);
  return promise;
}
