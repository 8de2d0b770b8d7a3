/** What arrived at ilert, told apart by event and by attempt of its sender, and how repeats lie beside the kills. */

import type { IlertEvent } from "../../tests/support/ilert_event_validation.ts";
import type { RecordedRequest } from "../../tests/support/ilert_request_log.ts";
import { WaitingRoom } from "../../tests/support/waiting_room.ts";

/** From the arrival of an event at ilert to its delivery being on the agent's disk, on a busy machine. */
const IN_FLIGHT_MS_MAX = 2_000;
/** One thread serves the senders and ilert: what left before the kill may be looked at a little later. */
const LOOKED_AT_LATE_MS_MAX = 500;
const TAKEN = 202;

interface Repeats {
  /** The same attempt of a sender, once more. */
  agentRepeats: number;
  /** Another attempt of a sender at an event that had arrived. */
  senderRepeats: number;
  /** Events the agent repeated without a kill that could excuse it. */
  unexplained: string[];
  mostPerKill: number;
}

export class Arrivals {
  /** By event, in their order. */
  readonly #arrived = new Map<string, { attempt: number; at: number }[]>();
  readonly #kills: number[] = [];
  readonly #waiting = new WaitingRoom();
  #distinct = 0;

  static identify(event: IlertEvent): string {
    return idOf(event.alertKey ?? "", numberOf(event, "n"));
  }

  static sequenceOf(event: IlertEvent): number {
    return numberOf(event, "n");
  }

  get kills(): number {
    return this.#kills.length;
  }

  get size(): number {
    return this.#arrived.size;
  }

  /** Attempts of senders: each is an event of its own to the agent. */
  get distinct(): number {
    return this.#distinct;
  }

  has(id: string): boolean {
    return this.#arrived.has(id);
  }

  add({ body, status, at }: RecordedRequest): void {
    if (status !== TAKEN) return;
    const event = body as IlertEvent;
    const id = Arrivals.identify(event);
    const attempt = numberOf(event, "attempt");
    const earlier = this.#arrived.get(id) ?? [];
    if (!earlier.some((other) => other.attempt === attempt)) this.#distinct++;
    this.#arrived.set(id, [...earlier, { attempt, at }]);
    this.#waiting.check();
  }

  killed(at: number): void {
    this.#kills.push(at);
  }

  /** Resolves once it holds; asked after each arrival. */
  async changed(isMet: () => boolean, timeoutMs: number): Promise<void> {
    await this.#waiting.until(isMet, { timeoutMs, describe: () => `${this.size} events arrived` });
  }

  /**
   * `storedFrom`, for what may be stored twice before it is delivered at all: since when an event may have been on its
   * way, by its id. A kill between that and its first arrival excuses a repeat too.
   */
  repeats(storedFrom?: (id: string) => number): Repeats {
    let agentRepeats = 0, senderRepeats = 0;
    const unexplained: string[] = [];
    const perKill = new Map<number, number>();
    for (const [id, arrivals] of this.#arrived) {
      const inOrder = arrivals.toSorted((a, b) => a.at - b.at);
      for (const [index, { attempt }] of inOrder.entries()) {
        if (index === 0) continue;
        const before = inOrder.slice(0, index).findLast((other) => other.attempt === attempt);
        if (before === undefined) {
          senderRepeats++;
          continue;
        }
        agentRepeats++;
        const kill = this.#killThatCutOff(before.at, storedFrom?.(id));
        if (kill === null) {
          unexplained.push(`${id} after ${Math.round((inOrder[index]?.at ?? 0) - before.at)} ms`);
        } else perKill.set(kill, (perKill.get(kill) ?? 0) + 1);
      }
    }
    return { agentRepeats, senderRepeats, unexplained, mostPerKill: this.#mostPerKill(perKill) };
  }

  /** Of kills in quick succession, the mean: to which of them a repeat belongs cannot be told. */
  #mostPerKill(repeats: ReadonlyMap<number, number>): number {
    let most = 0, sum = 0, kills = 0;
    for (const [index, kill] of this.#kills.entries()) {
      sum += repeats.get(kill) ?? 0;
      kills++;
      if ((this.#kills[index + 1] ?? Infinity) - kill <= LOOKED_AT_LATE_MS_MAX) continue;
      most = Math.max(most, Math.ceil(sum / kills));
      sum = kills = 0;
    }
    return most;
  }

  /** The kill nearest to an arrival, where it may have been in flight then. */
  #killThatCutOff(arrivedAt: number, from = arrivedAt - LOOKED_AT_LATE_MS_MAX): number | null {
    let nearest: number | null = null;
    for (const kill of this.#kills) {
      if (kill < from || kill > arrivedAt + IN_FLIGHT_MS_MAX) continue;
      if (nearest === null || Math.abs(kill - arrivedAt) < Math.abs(nearest - arrivedAt)) nearest = kill;
    }
    return nearest;
  }
}

export function idOf(alertKey: string, n: number): string {
  return `${alertKey}#${n}`;
}

function numberOf({ customDetails }: IlertEvent, name: "n" | "attempt"): number {
  return Number(customDetails?.[name]);
}
