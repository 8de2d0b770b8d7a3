/** What tells Deno's own HTTP client of a proxy. */
export const PROXY_VARIABLES: readonly string[] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"]
  .flatMap((name) => [name, name.toLowerCase()]);

/** The environment variables the built file can see. `--ignore-env` makes all others read as unset. */
const ENV_NAMES = ["ILAGENT_*", "ILERT_*", ...PROXY_VARIABLES];

/**
 * What both forms of the built file start with. These are the rights of the main thread before any flag is
 * known; it hands the exact set to its workers and drops its own.
 */
export const PERMISSION_FLAGS: readonly string[] = [
  "--no-prompt",
  "--allow-net",
  "--allow-read",
  "--allow-write",
  // For the worker that runs the script of --edge_mode script; the main thread gives it up with all others.
  "--allow-run",
  `--allow-env=${ENV_NAMES.join(",")}`,
  "--ignore-env",
  "--unstable-worker-options",
  // V8 lets the young generation grow with the load and keeps it, and collects the old one late: together 70 MB more
  // in the drain of a backlog, at the same speed. Its middle compiler, Maglev, costs 8 MB
  // under the load of a broker; without it the last one begins sooner, because the first thousands of an edge
  // connector's deliveries are slower until then.
  "--v8-flags=--max-semi-space-size=2,--heap-growing-percent=20,--no-maglev,--invocation-count-for-turbofan=1500",
];

/**
 * Only the bundle runs: `import("npm:…")` would otherwise download code even without any permission, and a
 * configuration file or `package.json` above the cache folder would change how the bundle is read.
 */
export const ISOLATION_FLAGS: readonly string[] = ["--no-remote", "--no-npm", "--cached-only", "--no-config"];
