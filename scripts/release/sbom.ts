/** What a release is made of, as CycloneDX 1.5, from the lock file: names, versions, checksums, who needs whom. */

/** The part of `deno.lock` this needs. Dependencies are names, with `@version` where there are several. */
export interface Lock {
  npm: Readonly<Record<string, { integrity: string; dependencies?: readonly string[] }>>;
}

export interface SbomFacts {
  version: string;
  denoVersion: string;
  /** ISO 8601, of the commit: the same commit gives the same document. */
  timestamp: string;
  /** Package → version, as `deno.json` names them. */
  direct: Readonly<Record<string, string>>;
  /** Which of them are part of the program; the others only build and test it. */
  shipped: readonly string[];
}

interface Component {
  "bom-ref": string;
  type: "application" | "library" | "platform";
  name: string;
  version: string;
  purl: string;
  scope?: "required" | "excluded";
  hashes?: { alg: "SHA-512"; content: string }[];
}

export function sbomOf(lock: Lock, facts: SbomFacts) {
  const keys = Object.keys(lock.npm);
  const needs = (key: string) => (lock.npm[key]?.dependencies ?? []).map((name) => keyOf(name, keys));
  const direct = Object.entries(facts.direct).map(([name, version]) => keyOf(`${name}@${version}`, keys));
  const shipped = reachable(direct.filter((key) => facts.shipped.includes(nameOf(key))), needs);
  const agent = {
    ...component("application", "ilagent", facts.version),
    purl: `pkg:generic/ilagent@${facts.version}`,
  };
  const deno: Component = { ...component("platform", "deno", facts.denoVersion), scope: "required" };
  const packages = keys.map((key): Component => ({
    ...component("library", nameOf(key), key.slice(nameOf(key).length + 1).replace(/_.*/, "")),
    "bom-ref": key,
    scope: shipped.has(key) ? "required" : "excluded",
    hashes: [{ alg: "SHA-512", content: hexOf(lock.npm[key]?.integrity ?? "") }],
  }));
  return {
    $schema: "http://cyclonedx.org/schema/bom-1.5.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    version: 1,
    metadata: { timestamp: facts.timestamp, component: agent },
    components: [deno, ...packages],
    dependencies: [
      { ref: agent["bom-ref"], dependsOn: [deno["bom-ref"], ...direct] },
      { ref: deno["bom-ref"], dependsOn: [] },
      ...keys.map((key) => ({ ref: key, dependsOn: [...new Set(needs(key))] })),
    ],
  };
}

function component(type: Component["type"], name: string, version: string): Component {
  const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
  return { "bom-ref": `${name}@${version}`, type, name, version, purl };
}

/** `name` alone, or `name@version`, which in the lock may carry the versions of its peers behind an underscore. */
function keyOf(name: string, keys: readonly string[]): string {
  const key = keys.find((key) => key === name || key.startsWith(`${name}_`) || nameOf(key) === name);
  if (key === undefined) throw new Error(`Cannot write an SBOM: deno.lock has no ${name}`);
  return key;
}

function nameOf(key: string): string {
  return key.slice(0, key.indexOf("@", 1));
}

function reachable(roots: readonly string[], needs: (key: string) => string[]): ReadonlySet<string> {
  const reached = new Set(roots);
  // A set also visits what is added while it is walked.
  for (const key of reached) needs(key).forEach((needed) => reached.add(needed));
  return reached;
}

/** From `sha512-<base64>`. */
function hexOf(integrity: string): string {
  return [...atob(integrity.replace(/^sha512-/, ""))]
    .map((character) => character.charCodeAt(0).toString(16).padStart(2, "0")).join("");
}
