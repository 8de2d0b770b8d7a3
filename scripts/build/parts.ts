/**
 * The program in a few modules instead of one, because each thread holds the source, and V8's code, of every module that
 * it loads, used or not: the script's worker needs a hundredth of the whole, the main thread a tenth, and most agents no
 * client of a broker. More and smaller modules would make the start slower.
 */

import { join } from "node:path";
import { pathToFileURL } from "node:url";

export interface Part {
  /** Beside the others. */
  readonly file: string;
  /** A file of the project, or a package. */
  readonly from: string;
  /** All that the others use of it. The build fails where one is missing. */
  readonly names: readonly string[];
}

/** What the program starts with; its entry is `main.ts`. */
export const MAIN_PART = "ilagent.js";

export const PARTS: readonly Part[] = [
  { file: "command.js", from: "src/commands/run.ts", names: ["runOrReport"] },
  { file: "agent.js", from: "src/jail/worker.ts", names: ["serveJob"] },
  { file: "script.js", from: "src/jail/script_worker.ts", names: ["serveScript"] },
  { file: "brokers.js", from: "src/jail/broker_worker.ts", names: ["serveBrokerSearch"] },
  {
    file: "kafkajs.js",
    from: "kafkajs",
    names: ["AssignerProtocol", "CompressionCodecs", "CompressionTypes", "Kafka", "logLevel", "Partitioners"],
  },
  { file: "yaml.js", from: "yaml", names: ["parseDocument"] },
  { file: "mqtt.js", from: "mqtt", names: ["default"] },
];

/** All files of the program. */
export const PART_FILES: readonly string[] = [MAIN_PART, ...PARTS.map(({ file }) => file)];

/**
 * For each part, something to import in its place: it waits for the other module. The specifier is a literal, for then
 * Deno knows the module beforehand and asks for no right to read it. Answers entries of an import map.
 */
export async function writeStandIns(parts: readonly Part[], root: string, folder: string) {
  const imports: Record<string, string> = {};
  for (const { file, from, names } of parts) {
    const path = join(folder, `stands_in_for_${file}.mjs`);
    const exports = names.map((name) =>
      name === "default" ? "export default part.default;" : `export const ${name} = part.${name};`
    );
    await Deno.writeTextFile(path, [`const part = await import("./${file}");`, ...exports, ""].join("\n"));
    imports[isPackage(from) ? from : pathToFileURL(join(root, from)).href] = pathToFileURL(path).href;
  }
  return imports;
}

/** What to bundle for a part: of a package, a module that hands on what is used. Answers its path. */
export async function writeEntry({ file, from, names }: Part, root: string, folder: string): Promise<string> {
  if (!isPackage(from)) return join(root, from);
  const path = join(folder, `entry_of_${file}.mjs`);
  await Deno.writeTextFile(path, `export { ${names.join(", ")} } from "${from}";\n`);
  return path;
}

function isPackage(from: string): boolean {
  return !from.endsWith(".ts");
}
