/**
 * Keeps one connection to the broker up, for as long as the agent runs.
 *
 *   waiting ──▶ connecting ──▶ connected ──▶ waiting …
 *                                  │ changed TLS files
 *                                  └──▶ connecting beside it; the new one replaces the old, or is given up
 *
 * Nothing a broker does ends this: it is logged, once for each cause, and shown by `error`.
 */

import type { Clock } from "../../runtime/clock.ts";
import type { Log } from "../../runtime/log.ts";
import type { MqttConnection } from "../mqtt_connection.ts";
import type { TlsMaterial } from "../tls_material.ts";
import { type Closing, Connection, type IncomingMessage, type Intake } from "./connection.ts";
import type { ConnectWish, ProtocolVersion } from "./connect_wish.ts";
import { type LossCause, ReconnectSchedule } from "./reconnect.ts";
import { TlsWatch } from "./tls_watch.ts";

/** What is told of the current connection; nothing of a replaced one. */
export interface LinkOwner extends Intake {
  /** From now on it can subscribe and publish. After `opened`, and perhaps after its first messages. */
  connected(connection: Connection): void;
  lost(): void;
}

export interface LinkDeps {
  clock: Clock;
  /** From 0 to 1. */
  random: () => number;
  log: Log;
}

const TLS_CHECK_MS = 30_000;
/** Different causes that are logged between two successes; a broker that invents more is not worth the lines. */
const CAUSES_LOGGED_MAX = 20;

export class Link {
  readonly #config: MqttConnection;
  readonly #clientId: string;
  readonly #session: ConnectWish["session"];
  readonly #owner: LinkOwner;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #schedule: ReconnectSchedule;
  readonly #tls: TlsWatch | null;
  readonly #abort = new AbortController();
  readonly #toldCauses = new Set<string>();
  #triedTls: TlsMaterial | null = null;
  #toldFlaw: string | null = null;
  #toldVersion = false;
  #version: ProtocolVersion = 5;
  #current: Connection | null = null;
  #connected: Connection | null = null;
  #connectedAt = 0;
  #error: string | null = "connecting";
  #attempt: Promise<void> | null = null;
  #cancelWait = () => {};
  #cancelTlsCheck = () => {};

  constructor(
    config: MqttConnection,
    clientId: string,
    session: ConnectWish["session"],
    owner: LinkOwner,
    { clock, random, log }: LinkDeps,
  ) {
    this.#config = config;
    this.#clientId = clientId;
    this.#session = session;
    this.#owner = owner;
    this.#clock = clock;
    this.#log = log;
    this.#schedule = new ReconnectSchedule(random);
    this.#tls = config.tls === null ? null : new TlsWatch(config.tls, clock);
  }

  start(): void {
    this.#connect();
    if (this.#tls !== null) this.#armTlsCheck(this.#tls);
  }

  /** Null while there is none that can be used. */
  get connection(): Connection | null {
    return this.#connected;
  }

  /** Why there is no connection; null while there is one. */
  get error(): string | null {
    return this.#error;
  }

  /** Leaves the broker for good. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#cancelWait();
    this.#cancelTlsCheck();
    await this.#attempt;
    const current = this.#current;
    this.#current = null;
    this.#connected = null;
    this.#error = "the agent is shutting down";
    await current?.leave();
  }

  #connect(): void {
    if (this.#attempt !== null || this.#abort.signal.aborted) return;
    this.#cancelWait();
    this.#attempt = this.#open().then((reason) => {
      this.#attempt = null;
      if (reason !== null) this.#failed(reason);
    });
  }

  /** Answers with the reason of a failure. */
  async #open(): Promise<string | null> {
    await this.#tls?.refresh();
    this.#tellFlaw();
    if (this.#tls !== null && this.#tls.current === null) return `TLS: ${this.#tls.flaw}`;
    const opening = await Connection.open(this.#wish(), this.#intake(), this.#clock, this.#abort.signal);
    switch (opening.kind) {
      case "open":
        this.#established(opening.connection);
        return null;
      case "unsupported_version":
        if (this.#version === 4) return "the broker speaks neither MQTT 5 nor MQTT 3.1.1";
        this.#version = 4;
        return await this.#open();
      case "unanswered":
        this.#version = this.#version === 5 ? 4 : 5;
        return opening.reason;
      case "failed":
        return opening.reason;
    }
  }

  #wish(): ConnectWish {
    const { url, username, password } = this.#config;
    this.#triedTls = this.#tls?.current ?? null;
    return {
      ...{ url, username, password, clientId: this.#clientId },
      ...{ tls: this.#triedTls, version: this.#version, session: this.#session },
    };
  }

  #intake(): Intake {
    return {
      opened: (connection) => {
        const replaced = this.#current;
        this.#current = connection;
        this.#connected = null;
        // The broker has just closed it, as no two connections may have one client id.
        replaced?.discard();
        this.#owner.opened(connection);
        void connection.closed.then((closing) => this.#lost(connection, closing));
      },
      received: (message: IncomingMessage, connection) => {
        if (connection === this.#current) this.#owner.received(message, connection);
      },
      released: (packetId) => this.#owner.released(packetId),
    };
  }

  #established(connection: Connection): void {
    if (connection !== this.#current) return;
    this.#connected = connection;
    this.#connectedAt = this.#clock.monotonic();
    this.#error = null;
    const isBack = this.#toldCauses.size > 0;
    this.#toldCauses.clear();
    const version = connection.version === 5 ? "5" : "3.1.1";
    const text = isBack
      ? "MQTT broker {url} is connected again (MQTT {version})"
      : "MQTT broker {url} is connected (MQTT {version})";
    if (isBack) this.#log.warn(text, { url: this.#config.url, version });
    else this.#log.info(text, { url: this.#config.url, version });
    if (connection.version === 4 && !this.#toldVersion) {
      this.#toldVersion = true;
      this.#log.info("MQTT broker {url} refuses MQTT 5; MQTT 3.1.1 it is", { url: this.#config.url });
    }
    this.#owner.connected(connection);
  }

  #failed(reason: string): void {
    if (this.#abort.signal.aborted) return;
    if (this.#connected !== null) {
      this.#log.error(
        "MQTT broker {url} does not take the changed TLS files: {reason}; the connection with the old ones stays",
        {
          url: this.#config.url,
          reason,
        },
      );
      return;
    }
    this.#error = reason;
    this.#tellCause("MQTT broker {url} cannot be used: {reason}; the agent keeps trying", reason);
    this.#wait(this.#schedule.afterFailure());
  }

  #lost(connection: Connection, closing: Closing): void {
    if (connection !== this.#current) return;
    this.#current = null;
    const wasConnected = this.#connected !== null;
    this.#connected = null;
    this.#error ??= closing.kind === "lost" ? closing.reason : "taken over";
    this.#owner.lost();
    // Closed by the broker in favour of the one under way, or before it could be used: the end of that attempt counts.
    if (!wasConnected || this.#attempt !== null) return;
    this.#version = 5;
    const livedMs = this.#clock.monotonic() - this.#connectedAt;
    const { delayMs, cause } = this.#schedule.afterLoss(livedMs, closing);
    this.#tellLoss(cause, closing, delayMs);
    this.#wait(delayMs);
  }

  #tellLoss(cause: LossCause, closing: Closing, delayMs: number): void {
    const facts = { url: this.#config.url, clientId: this.#clientId, seconds: Math.round(delayMs / 1000) };
    const remedy =
      "give each agent that runs a name of its own with --mqtt_name; next attempt in {seconds} s";
    switch (cause) {
      case "network": {
        const reason = closing.kind === "lost" ? closing.reason : "taken over";
        this.#error = reason;
        return this.#tellCause("MQTT broker {url} is lost: {reason}; the agent keeps trying", reason);
      }
      case "taken_over":
        this.#error = `another client has connected with the client id ${this.#clientId}`;
        this.#toldCauses.add(this.#error);
        return this.#log.error(
          `MQTT broker {url}: another client has connected as {clientId} and taken the session; ${remedy}`,
          facts,
        );
      case "probably_taken_over":
        this.#error =
          `the broker keeps closing the connection; another client may use the client id ${this.#clientId}`;
        this.#toldCauses.add(this.#error);
        return this.#log.error(
          `MQTT broker {url} keeps closing the connection, as it does when another client connects as {clientId}; ${remedy}`,
          facts,
        );
    }
  }

  #tellCause(text: string, reason: string): void {
    if (this.#toldCauses.has(reason) || this.#toldCauses.size >= CAUSES_LOGGED_MAX) return;
    this.#toldCauses.add(reason);
    this.#log.error(text, { url: this.#config.url, reason });
  }

  #wait(delayMs: number): void {
    if (this.#abort.signal.aborted) return;
    this.#cancelWait();
    this.#cancelWait = this.#clock.after(delayMs, () => this.#connect());
  }

  #armTlsCheck(tls: TlsWatch): void {
    this.#cancelTlsCheck = this.#clock.after(TLS_CHECK_MS, () => {
      this.#armTlsCheck(tls);
      void tls.refresh().then(() => {
        this.#tellFlaw();
        if (tls.current !== this.#triedTls) this.#connect();
      });
    });
  }

  #tellFlaw(): void {
    const flaw = this.#tls?.flaw ?? null;
    if (flaw === this.#toldFlaw) return;
    this.#toldFlaw = flaw;
    if (flaw === null || this.#tls?.current === null) return;
    this.#log.error(
      "The TLS files for MQTT broker {url} have changed and are not used: {reason}; the last valid ones stay",
      {
        url: this.#config.url,
        reason: flaw,
      },
    );
  }
}
