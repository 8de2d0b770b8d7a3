/** The baseline of delivery: a bare `fetch` loop that posts the same bodies and keeps as many in flight. */

import { answerQuestions } from "./conversation.ts";
import { eventText } from "./events.ts";

export const FETCH_LOOP = import.meta.url;

export interface FetchOrder {
  url: string;
  inFlight: number;
  events: number;
  firstNumber: number;
  integrationKeys: readonly string[];
}

if (import.meta.main) await answerQuestions(post);

async function post({ url, inFlight, events, firstNumber, integrationKeys }: FetchOrder): Promise<null> {
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: inFlight });
  const headers = { "content-type": "application/json" };
  let count = 0;
  const loop = async () => {
    while (count < events) {
      const body = eventText(firstNumber + count++, integrationKeys);
      const response = await fetch(`${url}/api/events`, { method: "POST", headers, body, client });
      // Quicker than reading it, and the agent does the same.
      await response.body?.cancel();
      if (response.status !== 202) throw new Error(`the emulated API answered ${response.status}`);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, loop));
  return null;
}
