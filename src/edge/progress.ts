/**
 * How far the agent has come, and who remembers it: this agent's file, or in high availability ilert.
 *
 *            leader                       standby
 *   start ─────────▶ leading ───────────────────────▶ standing by
 *                    reports what it   ◀─────────────  reports nothing
 *                    has settled           leader
 *
 * A standby's last report was made by another agent meanwhile. So a new leader reports nothing before it has settled
 * an item in this very term: what it did in an earlier one would take ilert back.
 */

import type { PollQuery } from "../ilert/edge_api.ts";
import type { EdgeStore } from "./edge_store.ts";

export type Role = "leader" | "standby";

export interface Progress {
  /** Null before ilert has said, and without high availability. */
  readonly role: Role | null;
  /** Changes whenever the agent becomes leader. */
  readonly term: number;
  /** Whether the cursor is in this agent's file. */
  readonly isKept: boolean;
  /** The id that items come after, as far as this agent knows. */
  readonly after: string;
  query(): PollQuery;
  /** What ilert's answer says this agent is; null where it says nothing, which is a leader. */
  hear(role: Role | null): void;
  /** All up to this id is settled; `term` is that in which its delivery began. */
  settled(id: string, term: number): void;
}

/** Without high availability: the cursor is in the agent's file. */
export class KeptProgress implements Progress {
  readonly role = null;
  readonly term = 0;
  readonly isKept = true;
  readonly #store: Pick<EdgeStore, "cursor" | "moveCursor">;
  #after: string;

  constructor(store: Pick<EdgeStore, "cursor" | "moveCursor">) {
    this.#store = store;
    this.#after = store.cursor;
  }

  get after(): string {
    return this.#after;
  }

  query(): PollQuery {
    return { kind: "single", afterId: this.#after };
  }

  hear(): void {}

  settled(id: string): void {
    this.#after = id;
    this.#store.moveCursor(id);
  }
}

/** In high availability: ilert is told. */
export class ReportedProgress implements Progress {
  readonly isKept = false;
  readonly #member: { clusterId: string; instanceId: string };
  #role: Role | null = null;
  #term = 0;
  #lastProcessedId: string | null = null;

  constructor(member: { clusterId: string; instanceId: string }) {
    this.#member = member;
  }

  get role(): Role | null {
    return this.#role;
  }

  get term(): number {
    return this.#term;
  }

  get after(): string {
    return this.#lastProcessedId ?? "0";
  }

  query(): PollQuery {
    return { kind: "cluster", ...this.#member, lastProcessedId: this.#lastProcessedId };
  }

  hear(role: Role | null): void {
    const heard = role ?? "leader";
    if (heard === this.#role) return;
    this.#role = heard;
    if (heard === "leader") this.#term++;
    else this.#lastProcessedId = null;
  }

  settled(id: string, term: number): void {
    if (this.#role === "leader" && term === this.#term) this.#lastProcessedId = id;
  }
}
