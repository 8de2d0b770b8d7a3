/** An error in the few words an operator needs: no stack, no file descriptor numbers. */
export function failureOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file or directory";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (error instanceof Deno.errors.NotCapable) return lackingRight(firstLine(error.message));
  if (error instanceof Deno.errors.AddrInUse) return "the address is already in use";
  if (error instanceof Deno.errors.AddrNotAvailable) return "the address is not one of this machine's";
  if (error instanceof Deno.errors.IsADirectory) return "it is a directory";
  return firstLine(error instanceof Error ? error.message : String(error)).replace(/ \(os error \d+\)/, "");
}

const DEEDS: Readonly<Record<string, string>> = { net: "reach", read: "read", write: "write", run: "run" };

/** Named, because whoever mends it compares it with the configuration. */
function lackingRight(message: string): string {
  const [, right = "", what = ""] = /^Requires (\w+) access to "([^"]*)"/.exec(message) ?? [];
  const deed = DEEDS[right];
  return deed === undefined
    ? `the agent has no right to do this (${message.replace(/, (specify|run again).*$/, "")})`
    : `the agent has no right to ${deed} ${what} (see 'ilagent permissions')`;
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
