/**
 * One Kafka for all test files of a run: `deno task services with kafka COMMAND` starts it and names it in a variable.
 * A test that is run without that starts its own.
 */

import { Certificates, type KeyPair } from "./certificates.ts";
import { type KafkaListener, startKafka } from "./kafka.ts";

/** To be shared, so nobody may stop it; topics and groups must have names of their own. */
export interface SharedKafka extends AsyncDisposable {
  /** `host:port`. */
  address(listener: KafkaListener): string;
  readonly caFile: string;
  /** SSL takes clients without a certificate too, and of those with one only whom this authority has certified. */
  readonly client: KeyPair;
  /** Passwords by name. */
  readonly users: Readonly<Record<string, string>>;
}

interface HandedOver {
  addresses: Record<KafkaListener, string>;
  caFile: string;
  client: KeyPair;
  users: Record<string, string>;
}

const VARIABLE = "ILAGENT_SERVICES_KAFKA";
const LISTENERS = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] as const;
const USERS = { alice: "alice-secret" };

/** The environment of the command that is to use it. */
export async function handOver(): Promise<AsyncDisposable & { env: Record<string, string> }> {
  const kafka = await startOwn();
  const addresses = Object.fromEntries(LISTENERS.map((name) => [name, kafka.address(name)]));
  const { caFile, client, users } = kafka;
  const env = { [VARIABLE]: JSON.stringify({ addresses, caFile, client, users }) };
  return { env, [Symbol.asyncDispose]: () => kafka[Symbol.asyncDispose]() };
}

export async function sharedKafka(): Promise<SharedKafka> {
  const text = Deno.env.get(VARIABLE);
  if (text === undefined) return await startOwn();
  const { addresses, caFile, client, users } = JSON.parse(text) as HandedOver;
  return {
    caFile,
    client,
    users,
    address: (name) => addresses[name],
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function startOwn(): Promise<SharedKafka> {
  await using starting = new AsyncDisposableStack();
  const certificates = starting.use(await Certificates.create());
  const kafka = starting.use(await startKafka({ certificates, users: USERS }));
  const started = starting.move();
  return {
    address: (name) => kafka.address(name),
    caFile: certificates.caFile,
    client: certificates.client,
    users: USERS,
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}
