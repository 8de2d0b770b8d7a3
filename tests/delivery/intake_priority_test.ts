import assert from "node:assert/strict";
import { IntakePriority } from "../../src/delivery/intake_priority.ts";

/** How many deliveries are admitted in one second of this intake, asked every ms. */
function admittedInASecond(acceptedPerSecond: number): number {
  const priority = new IntakePriority();
  let admitted = 0;
  for (let ms = 1_000; ms < 3_000; ms++) {
    const accepted = Math.floor(acceptedPerSecond * ms / 1000);
    while (admitted < 100_000 && priority.admits(accepted, ms)) {
      if (ms >= 2_000) admitted++;
      else break;
    }
  }
  return admitted;
}

Deno.test("IntakePriority.admits() holds nothing back at any ordinary rate", () => {
  assert.equal(admittedInASecond(1_500), 100_000);
});

Deno.test("IntakePriority.admits() lets 1,500 a second leave while a storm lasts, however large it is", () => {
  for (const storm of [3_000, 40_000]) {
    const admitted = admittedInASecond(storm);
    assert.ok(admitted >= 1_450 && admitted <= 1_600, `${admitted} in a storm of ${storm}`);
  }
});

Deno.test("IntakePriority.nextAt names the moment when what was held back may leave", () => {
  const priority = new IntakePriority();
  assert.equal(priority.admits(0, 1_000), true);
  assert.equal(priority.nextAt, null);
  let admitted = 0;
  while (priority.admits(1_000, 1_100)) admitted++;
  assert.equal(admitted, 75);
  assert.equal(priority.nextAt, 1_150);
  assert.equal(priority.admits(1_000, 1_150), true);
});
