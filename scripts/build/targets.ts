/** The machines that releases are made for. */

export interface Target {
  /** Part of the names of a release's files. */
  readonly name: string;
  readonly os: "linux" | "macos" | "windows";
  /** As `deno compile --target` takes it. */
  readonly triple: string;
  /** What `uname -s` and `uname -m` answer there, joined by a hyphen. */
  readonly machines: readonly string[];
  /** The npm package that holds Deno's own executable for it. */
  readonly runtimePackage: string;
}

export const TARGETS: readonly Target[] = [
  {
    name: "linux-x64",
    os: "linux",
    triple: "x86_64-unknown-linux-gnu",
    machines: ["Linux-x86_64"],
    runtimePackage: "@deno/linux-x64-glibc",
  },
  {
    name: "linux-arm64",
    os: "linux",
    triple: "aarch64-unknown-linux-gnu",
    machines: ["Linux-aarch64", "Linux-arm64"],
    runtimePackage: "@deno/linux-arm64-glibc",
  },
  {
    name: "macos-x64",
    os: "macos",
    triple: "x86_64-apple-darwin",
    machines: ["Darwin-x86_64"],
    runtimePackage: "@deno/darwin-x64",
  },
  {
    name: "macos-arm64",
    os: "macos",
    triple: "aarch64-apple-darwin",
    machines: ["Darwin-arm64", "Darwin-aarch64"],
    runtimePackage: "@deno/darwin-arm64",
  },
  {
    name: "windows-x64",
    os: "windows",
    triple: "x86_64-pc-windows-msvc",
    machines: [],
    runtimePackage: "@deno/win32-x64",
  },
];

/** Throws, with the names there are. */
export function targetNamed(name: string): Target {
  const target = TARGETS.find((target) => target.name === name);
  if (target !== undefined) return target;
  throw new Error(
    `Cannot build for ${name}: --target is one of ${TARGETS.map(({ name }) => name).join(", ")}`,
  );
}

/** The one this Deno runs on. Throws where releases know none like it. */
export function ownTarget(): Target {
  const target = TARGETS.find(({ triple }) => triple === Deno.build.target);
  if (target !== undefined) return target;
  throw new Error(`Cannot build for ${Deno.build.target}: no target of scripts/build/targets.ts`);
}
