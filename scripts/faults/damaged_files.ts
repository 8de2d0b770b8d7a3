/** Files as a dying disk, a full copy or a wrong command leaves them, found at the start. */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { IlertEmulator } from "../../tests/support/ilert_emulator.ts";
import { TempFolder } from "../../tests/support/temp_folder.ts";
import { until } from "../../tests/support/until.ts";
import { AgentRuns, alert } from "./agent_runs.ts";
import { damageLargeFile } from "./large_file.ts";
import type { Findings } from "./findings.ts";
import { refusedStart } from "./refused_start.ts";
import { type Circumstances, randomOf } from "./scenario.ts";

const PAGE_BYTES = 4_096;
/** In the database itself, and in its write-ahead log only. */
const IN_FILE = 200, IN_LOG = 40;
const DETAILS_CHARACTERS = 2_000;
const DELIVERY_MS_MAX = 20_000;
const ACKNOWLEDGED = { value: IN_FILE + IN_LOG, name: "those acknowledged" };

interface Damage {
  what: string;
  /** Of a database with its log beside it. */
  inflict: (file: string, random: () => number) => void;
  /** Null where the start must be refused; else how many events must still arrive at least. */
  survivors: number | null;
}

const DAMAGES: readonly Damage[] = [
  {
    what: "page",
    inflict: (file, random) => garble(file, middleOf(file), PAGE_BYTES, random),
    survivors: null,
  },
  { what: "header", inflict: (file, random) => garble(file, 20, 80, random), survivors: null },
  { what: "truncated", inflict: (file) => truncate(file, middleOf(file)), survivors: null },
  { what: "truncated_oddly", inflict: (file) => truncate(file, middleOf(file) + 1_234), survivors: null },
  {
    what: "no_database",
    inflict: (file) => Deno.writeTextFileSync(file, "# a configuration\n"),
    survivors: null,
  },
  { what: "foreign_database", inflict: replaceByForeign, survivors: null },
  { what: "newer_database", inflict: (file) => execute(file, "PRAGMA user_version = 99"), survivors: null },
  {
    what: "log_truncated",
    inflict: (file) => truncate(`${file}-wal`, middleOf(`${file}-wal`) + 77),
    survivors: IN_FILE,
  },
  { what: "log_garbage", inflict: (file, random) => garbleWhole(`${file}-wal`, random), survivors: null },
  {
    what: "log_index_garbage",
    inflict: (file, random) => garbleWhole(`${file}-shm`, random),
    survivors: IN_FILE + IN_LOG,
  },
];

export async function tryDamagedFiles(circumstances: Circumstances, findings: Findings): Promise<void> {
  const { command, seed, isLong } = circumstances;
  using template = new TempFolder();
  await using ilert = await IlertEmulator.start();
  await ilert.goDown();
  {
    await using writer = await AgentRuns.of({
      command,
      file: template.file("ilagent.db3"),
      ilertUrl: ilert.url,
    });
    await fill(writer, 1, IN_FILE);
    await writer.current.stop();
    await fill(writer, IN_FILE + 1, IN_LOG);
    await writer.kill();
  }
  for (const damage of DAMAGES) {
    const name = `disk.damaged.${damage.what}`;
    const checked = damage.survivors === null
      ? "refused in one line, the file left as it is"
      : "the ledger holds and what is there arrives";
    await findings.attempt(name, checked, async () => {
      using folder = new TempFolder();
      // The log belongs to the damage only where it is what is damaged: beside a sound log SQLite repairs pages from it.
      for (
        const suffix of damage.survivors === null && damage.what !== "log_garbage"
          ? [""]
          : ["", "-wal", "-shm"]
      ) {
        Deno.copyFileSync(template.file(`ilagent.db3${suffix}`), folder.file(`ilagent.db3${suffix}`));
      }
      damage.inflict(folder.file("ilagent.db3"), randomOf(seed));
      await using agent = await AgentRuns.of({
        command,
        file: folder.file("ilagent.db3"),
        ilertUrl: ilert.url,
      });
      if (damage.survivors === null) return await isRefused(agent);
      const arrived = await deliversAll(agent, ilert, damage.survivors);
      findings.value(`${name}.arrived`, arrived, "events", ACKNOWLEDGED);
    });
  }
  if (isLong) await damageLargeFile(circumstances, findings, template.file("ilagent.db3"));
}

async function fill(agent: AgentRuns, first: number, count: number): Promise<void> {
  await agent.start();
  for (let n = first; n < first + count; n++) {
    assert.equal(await agent.postedStatus(alert(n, n, { details: "x".repeat(DETAILS_CHARACTERS) })), 200);
  }
}

async function isRefused(agent: AgentRuns): Promise<void> {
  const before = Deno.readFileSync(agent.file);
  const line = await refusedStart(agent);
  assert.notEqual(line, null, "the agent starts on it");
  assert.match(line ?? "", /ilagent\.db3/);
  assert.ok(equal(before, Deno.readFileSync(agent.file)), "the file was changed");
}

/** All that the file still accounts for arrives; or the agent refuses to start, which is an answer too. */
async function deliversAll(
  agent: AgentRuns,
  ilert: IlertEmulator,
  atLeast: number,
): Promise<number> {
  ilert.reset();
  await ilert.comeBack();
  if (await refusedStart(agent) !== null) return 0;
  const { accepted, holds } = await agent.audit();
  assert.ok(holds, "the ledger does not hold");
  assert.ok(accepted >= atLeast, `${accepted} events are left, of ${atLeast} that were not touched`);
  await ilert.waitFor(({ acceptedCount }) => acceptedCount >= accepted, { timeoutMs: DELIVERY_MS_MAX });
  await until(async () => (await agent.audit()).queued === 0, "the queue is empty");
  assert.deepEqual([ilert.acceptedCount, ilert.duplicates], [accepted, 0]);
  assert.ok((await agent.audit()).holds, "the ledger does not hold after the delivery");
  await agent.kill();
  await ilert.goDown();
  return accepted;
}

function middleOf(path: string): number {
  return Math.floor(Deno.statSync(path).size / 2 / PAGE_BYTES) * PAGE_BYTES;
}

function truncate(path: string, size: number): void {
  Deno.truncateSync(path, size);
}

function garble(path: string, at: number, length: number, random: () => number): void {
  using file = Deno.openSync(path, { write: true });
  file.seekSync(at, Deno.SeekMode.Start);
  file.writeSync(Uint8Array.from({ length }, () => Math.floor(random() * 256)));
}

function garbleWhole(path: string, random: () => number): void {
  garble(path, 0, Deno.statSync(path).size, random);
}

function replaceByForeign(file: string): void {
  Deno.removeSync(file);
  execute(file, "CREATE TABLE recipes (title TEXT)");
}

function execute(file: string, sql: string): void {
  using database = new DatabaseSync(file);
  database.exec(sql);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
