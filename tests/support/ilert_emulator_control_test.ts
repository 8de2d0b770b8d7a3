import assert from "node:assert/strict";

import { ALERT, numbered, post, send, statusOf } from "./ilert_emulator_client.ts";
import { IlertEmulator } from "./ilert_emulator.ts";
import type { Fault } from "./ilert_faults.ts";

Deno.test("The control API shows state, requests and alerts, and records none of its own calls", async () => {
  await using emulator = await IlertEmulator.start();
  for (const n of [1, 2, 3]) await statusOf(post(emulator, numbered(n)));
  const state = await control(emulator, "GET", "state");
  assert.equal(state.counts.accepted, 3);
  const requests = await control(emulator, "GET", "requests?since=1");
  assert.deepEqual(requests.map(({ seq }: { seq: number }) => seq), [2, 3]);
  const alerts = await control(emulator, "GET", "alerts");
  assert.equal(alerts[0].entries.length, 3);
  assert.equal(emulator.requests.length, 3);
});

Deno.test("The control API adds faults, all or none, and takes them away", async () => {
  await using emulator = await IlertEmulator.start();
  const faults: Fault[] = [{ kind: "status", status: 503 }, { kind: "delay", ms: 1 }];
  assert.equal((await control(emulator, "POST", "faults", faults)).faults.length, 2);
  assert.equal(await statusOf(post(emulator, ALERT)), 503);

  for (const wrong of [[faults[0], { kind: "status" }], { kind: "nonsense" }, { kind: "reset" }, 1]) {
    const refused = await send(emulator, "POST", "/_emulator/faults", JSON.stringify(wrong));
    assert.equal(refused.status, 400);
    assert.match(
      (await refused.json()).message,
      /status must be|kind must be|rawFaults|must be a JSON object/,
    );
  }
  assert.equal(emulator.state().faults.length, 2);
  assert.equal((await control(emulator, "DELETE", "faults")).faults.length, 0);
  assert.equal(await statusOf(post(emulator, ALERT)), 202);
});

Deno.test("The control API resets what was recorded and the faults", async () => {
  await using emulator = await IlertEmulator.start();
  await statusOf(post(emulator, numbered(1)));
  emulator.inject({ kind: "status", status: 500 });
  const { counts, alerts, faults } = await control(emulator, "POST", "reset");
  assert.deepEqual([counts.requests, counts.accepted, alerts, faults.length], [0, 0, 0, 0]);
  await statusOf(post(emulator, numbered(1)));
  assert.deepEqual([emulator.requests.length, emulator.duplicates], [1, 0]);
  assert.equal(emulator.requestsSince(1).length, 1);
});

Deno.test("The control API takes the emulator down for a while", async () => {
  await using emulator = await IlertEmulator.start();
  emulator.inject({ kind: "hang" });
  const cut = assert.rejects(post(emulator, ALERT), TypeError);
  assert.deepEqual(await control(emulator, "POST", "down?ms=1"), { downForMs: 1 });
  await cut;
  emulator.clearFaults();
  await emulator.comeBack();
  assert.equal(await statusOf(post(emulator, ALERT)), 202);
});

// deno-lint-ignore no-explicit-any -- The tests look into JSON of many shapes.
async function control(emulator: IlertEmulator, method: string, call: string, body?: unknown): Promise<any> {
  const response = await send(
    emulator,
    method,
    `/_emulator/${call}`,
    body === undefined ? null : JSON.stringify(body),
  );
  return await response.json();
}
