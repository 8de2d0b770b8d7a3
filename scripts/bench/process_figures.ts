/** What Linux tells about a process and all that it started: memory and processor time. */

import { median } from "./statistics.ts";

/** Of USER_HZ, which is 100 wherever Linux runs Deno. */
const TICKS_PER_SECOND = 100;
const UTIME_FIELD = 11, STIME_FIELD = 12;

/** False outside Linux: then nothing here can be had. */
export function hasProcessFigures(): boolean {
  return Deno.build.os === "linux";
}

/** Resident memory (VmRSS) in MB, of the process and its descendants. */
export function residentMegabytes(pid: number): number {
  return megabytes(pid, /^VmRSS:\s+(\d+)/m);
}

/** The most that it ever was (VmHWM), as the sum of what each process had at its own worst moment. */
export function peakMegabytes(pid: number): number {
  return megabytes(pid, /^VmHWM:\s+(\d+)/m);
}

/** Processor time used so far, in seconds of one core, of the process and its descendants. */
function processorSeconds(pid: number): number {
  return tree(pid).reduce((sum, each) => {
    // The name in parentheses may hold anything, also blanks.
    const fields = read(`/proc/${each}/stat`).replace(/^.*\) /s, "").split(" ");
    return sum + (Number(fields[UTIME_FIELD] ?? 0) + Number(fields[STIME_FIELD] ?? 0)) / TICKS_PER_SECOND;
  }, 0);
}

/** Who used how much of the processor, as medians over several phases. */
export class ProcessorShares {
  readonly #samples = new Map<string, number[]>();

  /** A phase in which these processes are watched. */
  async during<T>(pids: Readonly<Record<string, number>>, work: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const before = Object.entries(pids).map(([name, pid]) => ({ name, pid, seconds: processorSeconds(pid) }));
    const result = await work();
    const elapsed = (performance.now() - startedAt) / 1_000;
    for (const { name, pid, seconds } of before) {
      const samples = this.#samples.get(name) ?? [];
      samples.push((processorSeconds(pid) - seconds) / elapsed);
      this.#samples.set(name, samples);
    }
    return result;
  }

  /** In percent of one core. */
  toString(): string {
    if (!hasProcessFigures()) return "unknown outside Linux";
    return [...this.#samples].map(([name, shares]) => `${name} ${(100 * median(shares)).toFixed(0)}%`).join(
      ", ",
    );
  }
}

function megabytes(pid: number, line: RegExp): number {
  const kilobytes = tree(pid).map((each) => Number(line.exec(read(`/proc/${each}/status`))?.[1] ?? 0));
  return kilobytes.reduce((sum, value) => sum + value, 0) * 1_024 / 1e6;
}

function tree(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).match(/\d+/g) ?? [];
  return [pid, ...children.flatMap((child) => tree(Number(child)))];
}

/** Empty where the process is gone. */
function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
