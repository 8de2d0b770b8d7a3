/** The users and escalation policies of an emulated ilert, and the three calls the agent makes about them. */

import { isObject } from "./ilert_event_validation.ts";

export interface EmulatedUser {
  id: number;
  email: string;
}

export interface EscalationRule {
  /** Minutes. */
  escalationTimeout: number;
  users: { id: number }[];
}

export interface EmulatedPolicy {
  id: number;
  routingKey: string;
  escalationRules: EscalationRule[];
}

export interface PolicyAnswer {
  status: number;
  body: unknown;
}

export class PolicyDirectory {
  readonly #usersByEmail = new Map<string, EmulatedUser>();
  readonly #policies = new Map<number, EmulatedPolicy>();

  get policies(): readonly EmulatedPolicy[] {
    return [...this.#policies.values()];
  }

  addUser(user: EmulatedUser): void {
    this.#usersByEmail.set(user.email.toLowerCase(), user);
  }

  addPolicy(policy: EmulatedPolicy): void {
    this.#policies.set(policy.id, structuredClone(policy));
  }

  findUser(body: unknown): PolicyAnswer {
    if (!isObject(body) || typeof body["email"] !== "string") return badRequest("email is required");
    const user = this.#usersByEmail.get(body["email"].toLowerCase());
    return user === undefined ? notFound("User not found") : { status: 200, body: user };
  }

  resolve(routingKey: string | null): PolicyAnswer {
    if (routingKey === null || routingKey === "") return badRequest("routing-key is required");
    const policy = this.policies.find((candidate) => candidate.routingKey === routingKey);
    return policy === undefined ? notFound("Escalation policy not found") : { status: 200, body: policy };
  }

  setLevel(policyId: string, shift: string, body: unknown): PolicyAnswer {
    const policy = this.#policies.get(Number(policyId));
    if (policy === undefined) return notFound("Escalation policy not found");
    if (!isRule(body)) return badRequest("escalationTimeout and users [{id}] are required");
    const level = Number(shift);
    if (policy.escalationRules[level] === undefined) return notFound(`Level ${shift} not found`);
    const known = new Set([...this.#usersByEmail.values()].map(({ id }) => id));
    const unknown = body.users.find(({ id }) => !known.has(id));
    if (unknown !== undefined) return badRequest(`User ${unknown.id} does not exist`);
    policy.escalationRules[level] = { escalationTimeout: body.escalationTimeout, users: body.users };
    return { status: 200, body: policy };
  }
}

function isRule(body: unknown): body is EscalationRule {
  return isObject(body) && typeof body["escalationTimeout"] === "number" && Array.isArray(body["users"]) &&
    body["users"].every((user) => isObject(user) && typeof user["id"] === "number");
}

function badRequest(message: string): PolicyAnswer {
  return { status: 400, body: { status: 400, code: "BAD_REQUEST", message } };
}

function notFound(message: string): PolicyAnswer {
  return { status: 404, body: { status: 404, code: "NOT_FOUND", message } };
}
