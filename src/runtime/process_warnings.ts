/** What libraries and the runtime warn of goes where it is told to, in place of straight to stderr. */

import process from "node:process";

/** kafkajs, for one, waits -1 ms, of which Node warns once in each thread. */
export function divertWarnings(tell: (message: string) => void): void {
  process.removeAllListeners("warning");
  process.on("warning", ({ name, message }: Error) => tell(`${name}: ${message.split("\n", 1)[0]}`));
}
