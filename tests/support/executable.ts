/** Puts a program where tests can start it. */

/**
 * With its mode, and by a process of its own: a test that forks beside this one would hold a file that is being
 * written here open until its child has replaced itself, and the kernel starts no such file ("Text file busy").
 */
export function copyExecutable(from: string, to: string): void {
  const { success, stderr } = new Deno.Command("cp", { args: ["-pf", from, to] }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

export function writeExecutable(path: string, content: string | Uint8Array<ArrayBuffer>): void {
  const draft = Deno.makeTempFileSync({ prefix: "ilagent-draft-" });
  try {
    Deno.writeFileSync(draft, typeof content === "string" ? new TextEncoder().encode(content) : content);
    Deno.chmodSync(draft, 0o755);
    copyExecutable(draft, path);
  } finally {
    Deno.removeSync(draft);
  }
}
