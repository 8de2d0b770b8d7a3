/** An error in the few words an operator needs: no stack, no file descriptor numbers. */
export function failureOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file or directory";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (error instanceof Deno.errors.NotCapable) {
    return `the agent may not reach it (${firstLine(error.message).replace(/, (specify|run again).*$/, "")})`;
  }
  if (error instanceof Deno.errors.AddrInUse) return "the address is already in use";
  if (error instanceof Deno.errors.AddrNotAvailable) return "the address is not one of this machine's";
  if (error instanceof Deno.errors.IsADirectory) return "it is a directory";
  return firstLine(error instanceof Error ? error.message : String(error)).replace(/ \(os error \d+\)/, "");
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
