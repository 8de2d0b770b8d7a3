/**
 * ilert's users and escalation policies: the only file that knows their paths. One update is three calls: who the user
 * is, which policy the routing key means and how long its level waits, and the change. Source: contract §3.
 */

import { isJsonObject } from "../domain/event.ts";
import { isRawNumber } from "../domain/json.ts";
import type { Outcome } from "../domain/outcome.ts";
import type { PolicyUpdate } from "../domain/policy_update.ts";
import type { Clock } from "../runtime/clock.ts";
import { type JsonAnswer, JsonClient } from "./json_client.ts";

export interface PolicyApiConfig {
  /** Scheme and host, without a trailing slash. */
  apiHost: string;
  apiKey: string;
  /** Idle connections kept; as many as updates may be under way. */
  connections: number;
}

/** What is not `found` is how the update ends. */
type Found<T> = { kind: "found" } & T | Exclude<Outcome, { kind: "delivered" }>;

/** How long a user's id is taken for known. Misses and policies never are: they must be what they are now. */
const USER_KNOWN_MS = 60_000;
const USERS_KNOWN_MAX = 1_000;
/** Minutes, for a level that has no time-out of its own yet. */
const ESCALATION_TIMEOUT_DEFAULT = 1;

export class PolicyApi implements Disposable {
  readonly #client: JsonClient;
  readonly #clock: Clock;
  /** By e-mail address, the oldest first. */
  readonly #knownUsers = new Map<string, { id: string; until: number }>();

  constructor({ apiHost, apiKey, connections }: PolicyApiConfig, clock: Clock) {
    this.#client = new JsonClient(apiHost, apiKey, connections, () => clock.now());
    this.#clock = clock;
  }

  /** One attempt. Answers with an outcome for whatever the network does; throws only for a bug. */
  async apply(update: PolicyUpdate, signal: AbortSignal): Promise<Outcome> {
    const known = this.#knownUser(update.email);
    const user = known ?? await this.#findUser(update.email, signal);
    if (user.kind !== "found") return user;
    const policy = await this.#resolvePolicy(update, signal);
    if (policy.kind !== "found") return policy;
    const change = await this.#setLevel(update, user.id, policy, signal);
    if (change.kind !== "rejected" || known === null) return change;
    // The user may have been deleted and created anew since.
    this.#knownUsers.delete(update.email);
    return await this.apply(update, signal);
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }

  #knownUser(email: string): { kind: "found"; id: string } | null {
    const known = this.#knownUsers.get(email);
    if (known === undefined || known.until <= this.#clock.monotonic()) return null;
    return { kind: "found", id: known.id };
  }

  async #findUser(email: string, signal: AbortSignal): Promise<Found<{ id: string }>> {
    const answer = await this.#client.call({
      method: "POST",
      path: "/api/users/search-email",
      body: JSON.stringify({ email }),
      purpose: "the search for the user",
    }, signal);
    if (answer.kind !== "answered") return answer;
    const id = idOf(answer);
    if (id === null) return incomplete(answer, "the search for the user");
    this.#knownUsers.delete(email);
    this.#knownUsers.set(email, { id, until: this.#clock.monotonic() + USER_KNOWN_MS });
    const [oldest] = this.#knownUsers.keys();
    if (this.#knownUsers.size > USERS_KNOWN_MAX && oldest !== undefined) this.#knownUsers.delete(oldest);
    return { kind: "found", id };
  }

  async #resolvePolicy(
    { routingKey, level }: PolicyUpdate,
    signal: AbortSignal,
  ): Promise<Found<{ id: string; escalationTimeout: number }>> {
    const query = new URLSearchParams({ "routing-key": routingKey });
    const answer = await this.#client.call({
      method: "GET",
      path: `/api/escalation-policies/resolve?${query}`,
      purpose: "the search for the escalation policy",
    }, signal);
    if (answer.kind !== "answered") return answer;
    const id = idOf(answer);
    if (id === null) return incomplete(answer, "the search for the escalation policy");
    return { kind: "found", id, escalationTimeout: escalationTimeoutOf(answer.json, level) };
  }

  async #setLevel(
    { level }: PolicyUpdate,
    userId: string,
    { id, escalationTimeout }: { id: string; escalationTimeout: number },
    signal: AbortSignal,
  ): Promise<Outcome> {
    const answer = await this.#client.call({
      method: "PUT",
      path: `/api/escalation-policies/${id}/levels/${level}`,
      // Text, so that an id of any size stays what it is.
      body: `{"escalationTimeout":${escalationTimeout},"users":[{"id":${userId}}]}`,
      purpose: `the change of level ${level} of escalation policy ${id}`,
    }, signal);
    return answer.kind === "answered" ? { kind: "delivered", correlationId: answer.correlationId } : answer;
  }
}

/** The digits of a numeric id; null where there is none. */
function idOf({ json }: { json: unknown }): string | null {
  if (!isJsonObject(json) || !(typeof json.id === "number" || isRawNumber(json.id))) return null;
  const digits = JSON.stringify(json.id);
  return /^\d+$/.test(digits) ? digits : null;
}

function escalationTimeoutOf(policy: unknown, level: number): number {
  const rules = isJsonObject(policy) ? policy.escalationRules : null;
  const rule: unknown = Array.isArray(rules) ? rules[level] : null;
  const timeout = isJsonObject(rule) ? rule.escalationTimeout : null;
  return Number.isSafeInteger(timeout) ? timeout as number : ESCALATION_TIMEOUT_DEFAULT;
}

function incomplete(
  { status, text }: JsonAnswer & { kind: "answered" },
  purpose: string,
): Outcome & { kind: "rejected" } {
  return { kind: "rejected", status, reason: `ilert's answer to ${purpose} has no id`, responseBody: text };
}
