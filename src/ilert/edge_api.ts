/**
 * The edge connector's one call: which events are next. Source: contract §3, "Edge poll". What a poll brings is
 * judged here; what follows from it, `edge/` decides.
 */

import { type EdgeItem, edgeItem } from "../domain/edge_item.ts";
import { isJsonObject } from "../domain/event.ts";
import { isRawNumber, parseJson } from "../domain/json.ts";
import { discard } from "../runtime/http_answers.ts";
import { VERSION } from "../runtime/version.ts";
import { pauseAskedMs, Requests } from "./requests.ts";

export type PollAnswer =
  | {
    kind: "batch";
    items: PolledItem[];
    /** As many as were asked for: more may wait. */
    isFull: boolean;
    /** Null where ilert names none. */
    role: "leader" | "standby" | null;
  }
  /** `reason` is one clause. */
  | { kind: "failed"; reason: string; retryAfterMs: number | null };

export type PolledItem =
  | { kind: "item"; item: EdgeItem }
  /** Nothing that could be delivered. `id` is null where none can be used; `json` is the payload, or else the item. */
  | { kind: "unusable"; id: string | null; json: string; reason: string };

export type PollQuery =
  | { kind: "single"; afterId: string }
  /** `lastProcessedId` is null before this agent has processed any as leader. */
  | { kind: "cluster"; clusterId: string; instanceId: string; lastProcessedId: string | null };

export const BATCH_ITEMS_MAX = 100;

/** Beyond it an answer is refused while it arrives: 100 payloads have a hundred times less. */
export const POLL_BYTES_MAX = 16 * 1024 * 1024;

/** A whole number as ilert writes its ids; longer ones than this are no ids. */
const USABLE_ID = /^(0|[1-9]\d{0,38})$/;

const SHOWN_ID_CHARACTERS_MAX = 40;

/** `message` is one clause about the answer. */
class UnreadableAnswer extends Error {}

export class EdgeApi implements Disposable {
  readonly #url: string;
  readonly #headers: [string, string][];
  readonly #now: () => number;
  readonly #requests: Requests;

  constructor(config: { apiHost: string; connectorKey: string }, now: () => number) {
    this.#url = `${config.apiHost}/api/edge-connections/events?limit=${BATCH_ITEMS_MAX}`;
    this.#headers = [
      ["authorization", config.connectorKey],
      ["accept", "application/json"],
      ["user-agent", `ilagent/${VERSION}`],
    ];
    this.#now = now;
    this.#requests = new Requests({ poolMaxIdlePerHost: 1 }, now);
  }

  /** One attempt; a failure for whatever the network or ilert does. Throws only for a bug. */
  async poll(query: PollQuery, signal: AbortSignal): Promise<PollAnswer> {
    return await this.#requests.send<PollAnswer>(
      this.#url + parametersOf(query),
      { headers: this.#headers },
      signal,
      async (response) => {
        if (response.ok) return await answerOf(response);
        await discard(response);
        const retryAfterMs = pauseAskedMs(response, this.#now());
        return { kind: "failed", reason: refusal(response.status), retryAfterMs };
      },
      (trouble) => failed(signal.aborted ? trouble : `ilert cannot be reached: ${trouble}`),
    );
  }

  [Symbol.dispose](): void {
    this.#requests[Symbol.dispose]();
  }
}

function parametersOf(query: PollQuery): string {
  if (query.kind === "single") return `&after-id=${query.afterId}`;
  const { clusterId, instanceId, lastProcessedId } = query;
  const report = lastProcessedId === null || lastProcessedId === "0"
    ? ""
    : `&last-processed-id=${lastProcessedId}`;
  return `&cluster-id=${encodeURIComponent(clusterId)}&instance-id=${
    encodeURIComponent(instanceId)
  }${report}`;
}

function refusal(status: number): string {
  return status === 401 ? "authentication failed — check integration key" : `ilert answered ${status}`;
}

function failed(reason: string): PollAnswer {
  return { kind: "failed", reason, retryAfterMs: null };
}

async function answerOf(response: Response): Promise<PollAnswer> {
  try {
    return batchOf(await textOf(response));
  } catch (error) {
    if (error instanceof UnreadableAnswer) return failed(error.message);
    throw error;
  }
}

async function textOf(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > POLL_BYTES_MAX) {
      throw new UnreadableAnswer(`ilert's answer is larger than ${POLL_BYTES_MAX} bytes`);
    }
    parts.push(chunk);
  }
  try {
    return utf8.decode(await new Blob(parts as BlobPart[]).arrayBuffer());
  } catch (cause) {
    throw new UnreadableAnswer("ilert's answer is not UTF-8", { cause });
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function batchOf(text: string): PollAnswer {
  let answer: unknown;
  try {
    answer = parseJson(text);
  } catch {
    return malformed("it is not JSON");
  }
  if (!isJsonObject(answer)) return malformed("it is not an object");
  const { items, role = null } = answer;
  if (!Array.isArray(items)) return malformed("it has no list 'items'");
  if (role !== null && role !== "leader" && role !== "standby") {
    return malformed("its 'role' is neither leader nor standby");
  }
  return { kind: "batch", items: items.map(polledItem), isFull: items.length >= BATCH_ITEMS_MAX, role };
}

function malformed(how: string): PollAnswer {
  return failed(`ilert's answer is malformed: ${how}`);
}

function polledItem(value: unknown): PolledItem {
  if (!isJsonObject(value)) return unusable(null, value, "the item is not an object");
  const id = idOf(value.id);
  const { payload = value } = value;
  if (id === null) {
    const given = value.id === undefined
      ? "none"
      : JSON.stringify(value.id).slice(0, SHOWN_ID_CHARACTERS_MAX);
    return unusable(null, payload, `the item has no usable id (${given})`);
  }
  if (!isJsonObject(value.payload)) return unusable(id, payload, "the item's payload is not an object");
  return { kind: "item", item: edgeItem(id, value.payload) };
}

function unusable(id: string | null, payload: unknown, reason: string): PolledItem {
  return { kind: "unusable", id, json: JSON.stringify(payload), reason };
}

function idOf(value: unknown): string | null {
  const isNumber = typeof value === "number" || isRawNumber(value);
  const text = isNumber ? JSON.stringify(value) : typeof value === "string" ? value : "";
  return USABLE_ID.test(text) ? text : null;
}
