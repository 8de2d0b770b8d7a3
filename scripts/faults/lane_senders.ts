/**
 * Careful senders: the next event of a lane leaves only when the one before is answered 200; what got no answer is sent
 * again, marked as another attempt, because whether the agent has it is unknown.
 */

import { sleep, WaitingRoom } from "../../tests/support/waiting_room.ts";
import { type AgentRuns, alert } from "./agent_runs.ts";
import { type Arrivals, idOf } from "./arrivals.ts";

const SENDERS = 12, LANES_PER_SENDER = 4;
/** Acknowledged but not arrived; beyond it the senders wait, so that each cycle sees a short queue move on. */
const BACKLOG_MAX = 400;
const WAIT_MS_MAX = 600_000;
const RETRY_MS = 50;

export class LaneSenders {
  /** Posts answered 200, and posts without an answer. */
  answered = 0;
  unanswered = 0;
  readonly refusals: string[] = [];
  readonly #agent: AgentRuns;
  readonly #arrivals: Arrivals;
  /** Acknowledged events that have not arrived, as far as was looked. */
  readonly #owed = new Set<string>();
  readonly #waiting = new WaitingRoom();
  readonly #senders: Promise<void>[];
  #mayGo = false;
  #isOver = false;
  #inHand = 0;

  /** They wait for `go()`. */
  constructor(agent: AgentRuns, arrivals: Arrivals) {
    this.#agent = agent;
    this.#arrivals = arrivals;
    this.#senders = Array.from({ length: SENDERS }, (_, sender) => this.#send(sender));
  }

  go(): void {
    this.#mayGo = true;
    this.#waiting.check();
  }

  /** Resolves when nothing is in hand any more, which is soon where the agent is gone. */
  async hold(): Promise<void> {
    this.#mayGo = false;
    await this.#until(() => this.#inHand === 0);
  }

  /** Each sender gets its last event acknowledged. */
  async finish(): Promise<void> {
    this.#isOver = true;
    this.go();
    await Promise.all(this.#senders);
  }

  /** Acknowledged and not arrived. */
  owed(): string[] {
    for (const id of this.#owed) if (this.#arrivals.has(id)) this.#owed.delete(id);
    return [...this.#owed];
  }

  async #send(sender: number): Promise<void> {
    for (let round = 1; !this.#isOver; round++) {
      for (let lane = 0; lane < LANES_PER_SENDER && !this.#isOver; lane++) {
        await this.#backlogIsShort();
        await this.#acknowledged(sender, `${sender}-${lane}`, round);
      }
    }
  }

  async #acknowledged(sender: number, lane: string, n: number): Promise<void> {
    for (let attempt = 1;; attempt++) {
      await this.#until(() => this.#mayGo);
      const event = alert(n, lane, { apiKey: `il1api-faults-${sender % 4}`, customDetails: { n, attempt } });
      this.#inHand++;
      const status = await this.#agent.postedStatus(event);
      this.#inHand--;
      if (status === 200) {
        this.answered++;
        this.#owed.add(idOf(event.alertKey, n));
        return;
      }
      if (status === null) {
        this.unanswered++;
        this.#waiting.check();
        // The agent is gone, or this connection was of the run before.
        await sleep(RETRY_MS, []);
      } else {
        this.refusals.push(`${status} to event ${n} of lane ${lane}`);
      }
      this.#waiting.check();
    }
  }

  async #backlogIsShort(): Promise<void> {
    if (this.#owed.size < BACKLOG_MAX || this.owed().length < BACKLOG_MAX || this.#isOver) return;
    await this.#arrivals.changed(() => this.owed().length < BACKLOG_MAX || this.#isOver, WAIT_MS_MAX);
  }

  async #until(isMet: () => boolean): Promise<void> {
    await this.#waiting.until(isMet, { timeoutMs: WAIT_MS_MAX, describe: () => "the senders wait" });
  }
}
