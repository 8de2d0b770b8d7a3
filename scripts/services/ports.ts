/** Ports for brokers, in a range of their own: they take longer to start than an agent that looks for its port meanwhile. */

import { type Listener, listenOnFreePort, type PortRange } from "../../tests/support/ilert_listener.ts";

const BROKER_PORTS: PortRange = { min: 10_000, max: 20_000 };

/** Different ones, each free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const held: Listener[] = [];
  while (held.length < count) held.push(await listenOnFreePort(hold, BROKER_PORTS));
  await Promise.all(held.map((listener) => listener.close()));
  return held.map(({ port }) => port);
}

function hold(port: number): Listener {
  const listener = Deno.listen({ hostname: "127.0.0.1", port });
  return {
    port,
    close() {
      listener.close();
      return Promise.resolve();
    },
  };
}
