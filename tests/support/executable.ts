/** Puts a program where tests can start it. */

/**
 * By a process of its own: a test that forks beside this one would hold a file that is being written here open
 * until its child has replaced itself, and the kernel starts no such file ("Text file busy").
 */
export function installExecutable(from: string, to: string): void {
  const { success, stderr } = new Deno.Command("install", { args: ["-m", "755", from, to] }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

export function writeExecutable(path: string, content: string | Uint8Array<ArrayBuffer>): void {
  const draft = Deno.makeTempFileSync({ prefix: "ilagent-draft-" });
  try {
    Deno.writeFileSync(draft, typeof content === "string" ? new TextEncoder().encode(content) : content);
    installExecutable(draft, path);
  } finally {
    Deno.removeSync(draft);
  }
}
