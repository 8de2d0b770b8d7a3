/**
 * Apache Kafka from Maven Central: its jars in the cache folder, each checked against `kafka_jars.json`, and an archive
 * of the classes that its start loads (class data sharing), which makes it three times as fast.
 */

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { cacheFolder, fillOnce } from "./cache_folder.ts";
import sha256ByPath from "./kafka_jars.json" with { type: "json" };

export const KAFKA_VERSION = "3.9.1";

export interface KafkaProgram {
  readonly java: string;
  readonly classPath: string;
  /** Absent until the installation is complete; Java then starts without it. */
  readonly classArchive: string;
}

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ilagent</groupId><artifactId>services</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>`;
const COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
/** For machines without Maven; those that need another address have it in Maven's settings. */
const MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2";
const DOWNLOADS_AT_ONCE = 8;
const JAVA_MIN = 17;

/** null where it is not installed. */
export function findKafka(): KafkaProgram | null {
  return existsSync(jarsFolder()) ? program() : null;
}

/** Without the archive, which takes a start of the broker to make. Rejects, with what to do, where that is impossible. */
export async function installKafkaJars(): Promise<KafkaProgram> {
  await checkJava();
  if (findKafka() === null) {
    await fillOnce(jarsFolder(), async (folder) => {
      await copyWithMaven(folder) || await downloadJars(folder);
      await checkJars(folder);
    });
  }
  return program();
}

function jarsFolder(): string {
  return join(cacheFolder(), `kafka-${KAFKA_VERSION}`);
}

function program(): KafkaProgram {
  const home = Deno.env.get("JAVA_HOME");
  return {
    java: home ? join(home, "bin/java") : "java",
    classPath: join(jarsFolder(), "*"),
    classArchive: `${jarsFolder()}.jsa`,
  };
}

async function checkJava(): Promise<void> {
  const answer = await output(program().java, ["-version"]);
  if (answer === null) throw new Error(`there is no Java, which Kafka needs: install Java ${JAVA_MIN}`);
  const version = Number(/version "(\d+)/.exec(answer.text)?.[1]);
  if (!(version >= JAVA_MIN)) throw new Error(`Kafka needs Java ${JAVA_MIN} or newer, not ${answer.text}`);
}

/** false where there is no Maven. */
async function copyWithMaven(folder: string): Promise<boolean> {
  const pom = join(folder, "pom.xml");
  await Deno.writeTextFile(pom, POM);
  const args = ["-q", "-B", "-f", pom, COPY, "-DincludeScope=runtime", `-DoutputDirectory=${folder}`];
  const answer = await output("mvn", args);
  await Deno.remove(pom);
  if (answer !== null && !answer.success) throw new Error(`Maven could not fetch Kafka: ${answer.text}`);
  return answer !== null;
}

async function downloadJars(folder: string): Promise<void> {
  const paths = Object.keys(sha256ByPath);
  const download = async () => {
    for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
      const response = await fetch(`${MAVEN_CENTRAL}/${path}`);
      if (!response.ok || response.body === null) throw new Error(`Cannot fetch ${path}: ${response.status}`);
      await Deno.writeFile(join(folder, basename(path)), response.body);
    }
  };
  await Promise.all(Array.from({ length: DOWNLOADS_AT_ONCE }, download));
}

/** Exactly the known files with exactly the known content. */
async function checkJars(folder: string): Promise<void> {
  const expected = new Map(Object.entries(sha256ByPath).map(([path, sum]) => [basename(path), sum]));
  const present = [...Deno.readDirSync(folder)].map(({ name }) => name);
  for (const name of new Set([...present, ...expected.keys()])) {
    const sum = present.includes(name) ? sha256(await Deno.readFile(join(folder, name))) : "missing";
    if (sum !== expected.get(name)) {
      throw new Error(`${name} is not the one of kafka_jars.json: its SHA-256 is ${sum}`);
    }
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** null where there is no such program. */
async function output(program: string, args: string[]): Promise<{ success: boolean; text: string } | null> {
  try {
    const { success, stdout, stderr } = await new Deno.Command(program, { args, stdin: "null" }).output();
    const decoder = new TextDecoder();
    return { success, text: (decoder.decode(stderr) + decoder.decode(stdout)).trim() };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
