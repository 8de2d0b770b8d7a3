/** Two agents behind a load balancer, each with its own file, as docs/high-availability.md has them. */

import assert from "node:assert/strict";
import { ConsumerSite, eventMessage, type SiteAgent } from "../support/consumer_site.ts";

/** Answers with the status; 0 where nobody listens. */
async function post(agent: SiteAgent, message: string): Promise<number> {
  const response = await fetch(`${agent.process.url}/api/events`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: message,
  }).catch(() => null);
  await response?.body?.cancel();
  return response?.status ?? 0;
}

/** The next agent where one does not answer, as a load balancer does it. */
async function balanced(agents: SiteAgent[], n: number): Promise<void> {
  for (let i = 0; i < agents.length; i++) {
    const agent = agents[(n + i) % agents.length];
    if (agent !== undefined && await post(agent, eventMessage(n)) === 200) return;
  }
  assert.fail("no agent took the event");
}

Deno.test("load balancer: senders notice nothing of a killed agent, and what it had stored arrives after its restart", async () => {
  await using site = await ConsumerSite.start();
  const agents = [await site.agent("1", "daemon"), await site.agent("2", "daemon")];
  for (let n = 0; n < 40; n++) await balanced(agents, n);
  await site.allArrived(40);
  await site.ilert.goDown();
  for (let n = 40; n < 60; n++) await balanced(agents, n);
  await agents[0]?.process.kill();
  for (let n = 60; n < 80; n++) await balanced(agents, n);
  await site.ilert.comeBack();
  await site.allArrived(70);
  await site.agent("1", "daemon");
  await site.allArrived(80);
  for (const folder of ["1", "2"]) assert.equal((await site.audit(folder)).holds, true);
});

Deno.test("load balancer: an event that both agents took makes one alert", async () => {
  await using site = await ConsumerSite.start();
  const agents = [await site.agent("1", "daemon"), await site.agent("2", "daemon")];
  for (const agent of agents) assert.equal(await post(agent, eventMessage(1)), 200);
  await site.ilert.waitFor(({ acceptedCount }) => acceptedCount === 2);
  assert.equal(site.ilert.alerts.length, 1);
});
