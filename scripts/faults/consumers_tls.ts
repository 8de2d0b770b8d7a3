/** The files of a TLS connection replaced while messages come in: valid, expired and garbage ones. */

import { join } from "node:path";
import { MqttPeer } from "../../tests/support/mqtt_peer.ts";
import { NetworkProxy } from "../../tests/support/network_proxy.ts";
import { Certificates, type KeyPair } from "../services/certificates.ts";
import { type Mosquitto, startMosquitto } from "../services/mosquitto.ts";
import type { Feed, FeedMessage } from "./consumer_feeds.ts";
import { ConsumerRun } from "./consumer_run.ts";
import type { Findings } from "./findings.ts";
import type { Circumstances } from "./scenario.ts";

const TOPIC = "faults/tls";
const SESSION = "faults-tls";
const BATCH = 120;
/** The agent looks every 30 s. */
const NOTICED_MS_MAX = 45_000;
const GARBAGE = "-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----\n";

export async function tryTlsFiles(
  name: string,
  circumstances: Circumstances,
  findings: Findings,
): Promise<void> {
  await using feed = await TlsFeed.start();
  await using run = await ConsumerRun.of(feed, circumstances);
  await run.agent.start();
  await run.readyIs(204);
  const another = await feed.certificates.issue("another-client", { role: "client" });
  const expired = feed.certificates.expiredClient;
  const steps: [what: string, put: () => Promise<void>, seen: () => Promise<unknown>][] = [
    [
      "expired",
      () => feed.use(expired),
      () => run.agent.current.waitForLine(/not used.*expired/i, NOTICED_MS_MAX),
    ],
    ["valid", () => feed.use(another), () => feed.connectedAgain(NOTICED_MS_MAX)],
    [
      "garbage",
      () => feed.put(GARBAGE),
      () => run.agent.current.waitForLine(/not used(?!.*expired)/i, NOTICED_MS_MAX),
    ],
    [
      "valid after garbage",
      () => feed.use(feed.certificates.client),
      () => feed.connectedAgain(NOTICED_MS_MAX),
    ],
  ];
  for (const [what, put, seen] of steps) {
    await findings.attempt(
      `${name}.${what}`,
      "noticed within 45 s; messages come in before and after",
      async () => {
        await run.send(BATCH);
        await run.allArrived();
        run.broken();
        await put();
        await seen();
        run.broken();
        await run.send(BATCH);
        await run.allArrived();
        await run.readyIs(204);
      },
    );
  }
  await run.settle(findings, name);
}

class TlsFeed implements Feed {
  readonly isBuffered = false;
  readonly proxy: NetworkProxy;
  readonly flags: readonly string[];
  readonly certificates: Certificates;
  readonly #mosquitto: Mosquitto<"plain" | "mutual">;
  readonly #files: KeyPair;
  #peer: MqttPeer;
  #connections = 0;

  private constructor(
    mosquitto: Mosquitto<"plain" | "mutual">,
    certificates: Certificates,
    proxy: NetworkProxy,
    peer: MqttPeer,
    files: KeyPair,
  ) {
    this.#mosquitto = mosquitto;
    this.certificates = certificates;
    this.proxy = proxy;
    this.#peer = peer;
    this.#files = files;
    const { certFile, keyFile } = files;
    this.flags = [
      ...["-m", `127.0.0.1:${proxy.port}`, "-n", SESSION, "-e", TOPIC, "-v"],
      ...["--mqtt_tls", "--mqtt_ca", certificates.caFile],
      ...["--mqtt_client_cert", certFile, "--mqtt_client_key", keyFile],
    ];
  }

  static async start(): Promise<TlsFeed> {
    const certificates = await Certificates.create();
    const listeners = { plain: {}, mutual: { tls: "mutual" } } as const;
    const mosquitto = await startMosquitto({ listeners, certificates });
    const url = mosquitto.url("plain");
    {
      await using subscriber = await MqttPeer.connect(url, { session: SESSION });
      await subscriber.subscribe(TOPIC);
    }
    const proxy = await NetworkProxy.start(mosquitto.port("mutual"));
    const files = {
      certFile: join(certificates.folder, "agent.crt"),
      keyFile: join(certificates.folder, "agent.key"),
    };
    const feed = new TlsFeed(mosquitto, certificates, proxy, await MqttPeer.connect(url), files);
    await feed.use(certificates.client);
    return feed;
  }

  /** The key first: for a moment they do not belong together, as when an administrator copies them. */
  async use({ certFile, keyFile }: KeyPair): Promise<void> {
    this.#connections = this.#connectionsOfAgent();
    await Deno.copyFile(keyFile, this.#files.keyFile);
    await Deno.copyFile(certFile, this.#files.certFile);
  }

  async put(certificate: string): Promise<void> {
    await Deno.writeTextFile(this.#files.certFile, certificate);
  }

  /** Since the last `use()`. */
  async connectedAgain(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (this.#connectionsOfAgent() === this.#connections) {
      if (performance.now() > deadline) {
        throw new Error(`the agent did not connect again within ${timeoutMs} ms`);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  #connectionsOfAgent(): number {
    return this.#mosquitto.log.split(`as ${SESSION} `).length;
  }

  async send(messages: readonly FeedMessage[]): Promise<void> {
    await Promise.all(messages.map(({ value }) => this.#peer.publish(TOPIC, value)));
  }

  async killBroker(): Promise<void> {
    await this.#mosquitto.kill();
  }

  async restartBroker(): Promise<void> {
    await this.#mosquitto.restart();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer[Symbol.asyncDispose]();
    await this.proxy[Symbol.asyncDispose]();
    await this.#mosquitto[Symbol.asyncDispose]();
    await this.certificates[Symbol.asyncDispose]();
  }
}
