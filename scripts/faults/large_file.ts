/** A damaged page in a file too large to be checked at the start: the agent meets it while it works. */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { IlertEmulator } from "../../tests/support/ilert_emulator.ts";
import { TempFolder } from "../../tests/support/temp_folder.ts";
import { until } from "../../tests/support/until.ts";
import { AgentRuns } from "./agent_runs.ts";
import type { Findings } from "./findings.ts";
import type { Circumstances } from "./scenario.ts";

const PADDING_ROWS = 5_000, PADDING_CHARACTERS = 15_000;
const PAGE_BYTES = 4_096;
/** Somewhere in the middle of the queue. */
const DAMAGED_EVENT = "Alert 100";
const WATCHED_MS = 8_000;

export async function damageLargeFile(
  { command }: Circumstances,
  findings: Findings,
  template: string,
): Promise<void> {
  using folder = new TempFolder();
  await using ilert = await IlertEmulator.start();
  const file = folder.file("ilagent.db3");
  Deno.copyFileSync(template, file);
  pad(file);
  const queued = rows(file);
  const page = damage(file);
  await using agent = await AgentRuns.of({ command, file, ilertUrl: ilert.url });
  const name = "disk.damaged.large";
  await findings.attempt(name, "a clear answer: ended in one line, or unready with a reason", async () => {
    const run = agent.spawn();
    let isOver = false;
    void run.exit.then(() => isOver = true);
    await run.ready().catch(() => {});
    const isClear = async () => isOver || await agent.status("/ready").catch(() => 204) === 503;
    await until(isClear, "the agent ends or says that it is not ready", WATCHED_MS).catch((error) => {
      throw new Error(
        `${error.message}; ${ilert.acceptedCount} of ${queued} events left, and it says ${run.lines.at(-1)}`,
      );
    });
    findings.value(`${name}.arrived`, ilert.acceptedCount, "events", { value: queued, name: "those queued" });
    if (isOver) {
      const { code } = await run.exit;
      assert.equal(code, 1);
      assert.doesNotMatch(run.stderrLines.join("\n"), /^\s+at |Uncaught/m);
      assert.match(run.stderrLines.at(-1) ?? "", /corrupt|malformed/);
    }
  });
  await agent.kill();
  await findings.attempt(`${name}.rest`, "everything beside the damaged page is still there", () => {
    using restored = Deno.openSync(file, { write: true });
    restored.seekSync(page.at, Deno.SeekMode.Start);
    restored.writeSync(page.bytes);
    assert.ok(rows(file) + ilert.acceptedCount - ilert.duplicates >= queued, "events are missing");
  });
}

/** With dead letters, so that the ledger still holds. */
function pad(file: string): void {
  using database = new DatabaseSync(file);
  const insert = database.prepare(
    `INSERT INTO dead_letters (id, source, payload, reason, attempts, accepted_at, died_at)
     VALUES (?, 'event', ?, 'padding', 1, '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z')`,
  );
  database.exec("BEGIN");
  const payload = "x".repeat(PADDING_CHARACTERS);
  for (let n = 0; n < PADDING_ROWS; n++) insert.run(`padding-${n}`, payload);
  database.prepare("UPDATE ledger SET accepted = accepted + ?").run(PADDING_ROWS);
  database.exec("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
}

/** Answers with what was there before. */
function damage(file: string): { at: number; bytes: Uint8Array } {
  const text = new TextEncoder().encode(DAMAGED_EVENT);
  const bytes = Deno.readFileSync(file);
  const found = bytes.findIndex((_, at) => text.every((byte, offset) => bytes[at + offset] === byte));
  if (found < 0) throw new Error(`${DAMAGED_EVENT} is not in the file`);
  const at = Math.floor(found / PAGE_BYTES) * PAGE_BYTES;
  using open = Deno.openSync(file, { write: true });
  open.seekSync(at, Deno.SeekMode.Start);
  open.writeSync(new Uint8Array(PAGE_BYTES).fill(0xa5));
  return { at, bytes: bytes.slice(at, at + PAGE_BYTES) };
}

function rows(file: string): number {
  using database = new DatabaseSync(file);
  return Number(database.prepare("SELECT count(*) AS n FROM event_items").get()?.["n"]);
}
