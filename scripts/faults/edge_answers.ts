/** A target that is down, slow or broken, or answers anything from 100 to 599: what is delivered, skipped and repeated. */

import assert from "node:assert/strict";
import { EdgeSite } from "./edge_site.ts";
import { type Arrival, EdgeTarget, type Reply, TAKEN } from "./edge_target.ts";
import type { Findings } from "./findings.ts";
import type { Circumstances } from "./scenario.ts";

/** What becomes of the item whose first delivery meets this reply. */
interface Trouble {
  name: string;
  reply: Reply;
  ends: "delivered" | "skipped" | "repeated";
}

const SHORT_STATUSES = [
  ...[100, 102, 199, 200, 202, 204, 299, 300, 304, 307, 399, 400, 401, 403, 404, 408, 410, 418, 422, 428],
  ...[429, 430, 499, 500, 503, 599],
];
const STATUS_MIN = 100, STATUS_MAX = 599;
/** A retry costs an agent one poll interval, so the troubles are dealt out to several. */
const AGENTS_SHORT = 6, AGENTS_LONG = 12;
const SLOW_MS = 1_500;
/** Till the first delivery of agents that all start together. */
const START_MS_MAX = 30_000;
/** Of one retry, on a busy machine. */
const RETRY_MS_MAX = 15_000, SILENCE_MS_MAX = 60_000;

export async function tryEdgeAnswers(circumstances: Circumstances, findings: Findings): Promise<void> {
  const { command, isLong } = circumstances;
  const troubles = troublesOf(isLong);
  const agents = isLong ? AGENTS_LONG : AGENTS_SHORT;
  await using site = await EdgeSite.start(command);
  await using target = await EdgeTarget.create();
  /** Each agent gets all items, and has trouble with its own share of them. */
  const troubleOf = ({ from, number }: Pick<Arrival, "from" | "number">) =>
    number % agents === Number(from) ? troubles[number - 1] : undefined;
  target.reply = (arrival, attempt) => (attempt === 1 ? troubleOf(arrival)?.reply : undefined) ?? TAKEN;
  site.add(troubles.length);
  const names = Array.from({ length: agents }, (_, at) => String(at));
  const running = names.map((name) =>
    site.agent(name, ["--edge_mode", "http", "--edge_http_url", target.url(name)])
  );

  await findings.attempt("edge.answers.down", "a target that refuses connections loses nothing", async () => {
    await Promise.all(running.map((agent) => agent.waitForLine(/cannot be reached/, START_MS_MAX)));
    await target.comeBack();
  });
  const repeats = troubles.filter(({ ends }) => ends === "repeated").length;
  const timeoutMs = RETRY_MS_MAX * (1 + Math.ceil(repeats / agents)) + (isLong ? SILENCE_MS_MAX : 0);
  await findings.attempt("edge.answers.all", "every agent comes to the end of its items", async () => {
    const isAtEnd = () => names.every((from) => has(target, from, troubles.length));
    await target.until(isAtEnd, "the last item from every agent", timeoutMs);
  });
  for (const ends of ["delivered", "skipped", "repeated"] as const) {
    const those = troubles.flatMap((trouble, at) =>
      trouble.ends === ends ? [{ ...trouble, number: at + 1 }] : []
    );
    await findings.attempt(`edge.answers.${ends}`, `${those.length} replies, as the contract says`, () => {
      for (const { name, number } of those) {
        const from = String(number % agents);
        const seen = target.arrivals.filter((arrival) => arrival.from === from && arrival.number === number);
        const taken = seen.map(({ isTaken }) => isTaken);
        const isDead = site.deadLetters(from).has(number);
        assert.deepEqual({ name, taken, isDead }, { name, ...EXPECTED[ends] });
      }
    });
  }
  await findings.attempt("edge.answers.dead_letters", "each with the target's status, and no others", () => {
    for (const from of names) {
      const expected = troubles.flatMap(({ ends, reply }, at): [number, number][] => {
        const isOwn = (at + 1) % agents === Number(from);
        return isOwn && ends === "skipped" && reply.kind === "status" ? [[at + 1, reply.status]] : [];
      });
      assert.deepEqual(site.deadLetters(from), new Map(expected));
    }
  });
  await findings.attempt("edge.answers.order", "each agent delivers one item after the other", () => {
    for (const from of names) {
      const numbers = target.arrivals.filter((arrival) => arrival.from === from).map(({ number }) => number);
      assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b));
    }
  });
}

const EXPECTED = {
  delivered: { taken: [true], isDead: false },
  skipped: { taken: [false], isDead: true },
  repeated: { taken: [false, true], isDead: false },
} as const;

/** By number of the item, from 1 on; the last is taken, as the sign that all before it are settled. */
function troublesOf(isLong: boolean): Trouble[] {
  const all = Array.from({ length: STATUS_MAX - STATUS_MIN + 1 }, (_, at) => STATUS_MIN + at);
  const statuses = (isLong ? all : SHORT_STATUSES).map((status): Trouble => ({
    name: `status ${status}`,
    reply: { kind: "status", status },
    ends: endOf(status),
  }));
  const faults = (["reset", "halfAnswer", "notHttp", ...isLong ? ["silence" as const] : []] as const).map(
    (kind): Trouble => ({ name: kind, reply: { kind }, ends: "repeated" }),
  );
  const slow: Trouble = {
    name: "slow",
    reply: { kind: "status", status: 200, afterMs: SLOW_MS },
    ends: "delivered",
  };
  return [...statuses, ...faults, slow, { name: "the last", reply: TAKEN, ends: "delivered" }];
}

/** Contract: 2xx is delivered, 4xx except 429 is skipped, everything else is tried again. */
function endOf(status: number): Trouble["ends"] {
  if (status >= 200 && status < 300) return "delivered";
  return status >= 400 && status < 500 && status !== 429 ? "skipped" : "repeated";
}

function has(target: EdgeTarget, from: string, number: number): boolean {
  return target.arrivals.some((arrival) => arrival.from === from && arrival.number === number);
}
