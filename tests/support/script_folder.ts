/** Shell scripts that tests have run, the notes they leave, and the processes. */

import { writeExecutable } from "./executable.ts";
import { TempFolder } from "./temp_folder.ts";

export class ScriptFolder extends TempFolder {
  /** A shell script of these lines, which runs in this folder. */
  write(lines: string, name = "script.sh"): string {
    const path = this.file(name);
    const text = lines.startsWith("#!") ? `${lines}\n` : `#!/bin/sh\ncd '${this.path}'\n${lines}\n`;
    writeExecutable(path, text);
    return path;
  }

  /** Whether a script has written this file. */
  has(name: string): boolean {
    return this.text(name).endsWith("\n");
  }

  /** Empty where there is no such file. */
  text(name: string): string {
    try {
      return Deno.readTextFileSync(this.file(name));
    } catch {
      return "";
    }
  }

  /** A process id that a script has written. */
  pid(name: string): number {
    const pid = Number(this.text(name));
    if (!Number.isInteger(pid) || pid < 2) throw new Error(`Cannot read a process id from ${name}`);
    return pid;
  }
}

export const KILL_PROGRAM = Deno.build.os === "linux" ? "/usr/bin/kill" : "/bin/kill";

/** A process that has ended but was not waited for is not alive. */
export async function isAlive(pid: number): Promise<boolean> {
  const { stdout } = await new Deno.Command("ps", { args: ["-o", "stat=", "-p", String(pid)] }).output();
  return /^[^Z]/.test(new TextDecoder().decode(stdout).trim());
}
