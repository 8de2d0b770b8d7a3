/**
 * Both ends of the edge connector as one process: an emulated ilert that hands out items, and a webhook. A burst is
 * timed by the agent's own polls, which is the same for every sink: from the poll that brings the first hundred to the
 * one that asks for what comes after the last.
 */

import { edgePayload } from "../../tests/support/edge_items.ts";
import { IlertEmulator } from "../../tests/support/ilert_emulator.ts";
import { listenOnFreePort } from "../../tests/support/ilert_listener.ts";
import { WaitingRoom } from "../../tests/support/waiting_room.ts";
import { answerQuestions } from "./conversation.ts";

export const EDGE_SITE = import.meta.url;

export type EdgeSiteQuestion =
  | { kind: "start"; targetDelayMs: number }
  /** Hands out as many items more, and answers when the agent has moved past the last. */
  | { kind: "burst"; items: number; timeoutMs: number };

export interface EdgeSiteState {
  url: string;
  targetUrl: string;
  /** The id before the first item of the burst. */
  afterId: number;
  /** From its first poll to the poll behind its last item; 0 before any. */
  burstMs: number;
}

/** About as large as an alert with its links and log entries. */
const DETAILS = "The disk of db-3 has been filling up for an hour. ".repeat(12);
/** In the query of the bare loop, whose polls are none of the agent's. */
export const BARE_MARK = "bare=1";

class EdgeSite {
  readonly #waiting = new WaitingRoom();
  #ilert: IlertEmulator | null = null;
  #targetUrl = "";
  #lastId = 0;
  /** When the agent first asked for what comes after an id, by that id; of this burst. */
  #askedAt = new Map<number, number>();

  async answer(question: EdgeSiteQuestion): Promise<EdgeSiteState> {
    return question.kind === "start"
      ? await this.#start(question.targetDelayMs)
      : await this.#burst(question.items, question.timeoutMs);
  }

  async #start(targetDelayMs: number): Promise<EdgeSiteState> {
    const target = await listenOnFreePort((port) => Promise.resolve(listen(port, targetDelayMs)));
    this.#targetUrl = `http://127.0.0.1:${target.port}/events`;
    this.#ilert = await IlertEmulator.start({
      record: "counts",
      onAnswered: ({ path, at }) => this.#polled(path, at),
    });
    return this.#state(0, 0);
  }

  async #burst(items: number, timeoutMs: number): Promise<EdgeSiteState> {
    const afterId = this.#lastId;
    this.#askedAt = new Map();
    for (let left = items; left > 0; left--) {
      this.#ilert?.edge.add({ ...edgePayload(++this.#lastId), details: DETAILS });
    }
    const describe = () => `The agent asked for none of the items after ${this.#lastId}`;
    await this.#waiting.until(() => this.#askedAt.has(this.#lastId), { timeoutMs, describe });
    const burstMs = (this.#askedAt.get(this.#lastId) ?? NaN) - (this.#askedAt.get(afterId) ?? NaN);
    return this.#state(afterId, burstMs);
  }

  #polled(path: string, at: number): void {
    if (path.includes(BARE_MARK)) return;
    const afterId = Number(/after-id=(\d+)/.exec(path)?.[1] ?? 0);
    if (!this.#askedAt.has(afterId)) this.#askedAt.set(afterId, at);
    this.#waiting.check();
  }

  #state(afterId: number, burstMs: number): EdgeSiteState {
    return { url: this.#ilert?.url ?? "", targetUrl: this.#targetUrl, afterId, burstMs };
  }
}

function listen(port: number, delayMs: number) {
  const server = Deno.serve({ hostname: "127.0.0.1", port, onListen() {} }, async (request) => {
    await request.text();
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    return new Response(null, { status: 200 });
  });
  return { port: server.addr.port, close: () => server.shutdown() };
}

if (import.meta.main) {
  const site = new EdgeSite();
  await answerQuestions((question: EdgeSiteQuestion) => site.answer(question));
}
