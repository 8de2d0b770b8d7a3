/** The events of all benches: about 400 bytes of JSON, of the same length for every number. */

/** Ten digits each, so that all bodies are equally long. */
export const FIRST_NUMBER = 1_000_000_000;

/** The fields stand in the order in which the agent sends them on: what the baselines post is the same text. */
export function eventText(
  number: number,
  integrationKeys: readonly string[],
  alertKey = `bench-${number}`,
): string {
  const integrationKey = integrationKeys[number % integrationKeys.length] ?? "";
  return `{"integrationKey":"${integrationKey}","eventType":"ALERT",` +
    `"summary":"Disk /var/lib is 93% full on a database host","alertKey":"${alertKey}",` +
    `"details":"Free space fell below the threshold of 10% and shrinks by 2 GB an hour.","priority":"HIGH",` +
    `"links":[{"href":"https://monitoring.example.com/d/disk?host=db","text":"Graph"}],` +
    `"customDetails":{"n":${number},"host":"db.example.com","mount":"/var/lib","freeBytes":7516192768}}`;
}
