/**
 * Certificates for tests of TLS, made with the machine's openssl (LibreSSL will do) in a temporary folder.
 *
 *     await using certificates = await Certificates.create();
 *     certificates.caFile, certificates.server, certificates.client, certificates.expiredClient
 */

import { join } from "node:path";

/** Paths of PEM files; the key is in PKCS #8, as Kafka wants it. */
export interface KeyPair {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface CertificateWish {
  role: "server" | "client";
  /** "expired" ended yesterday. */
  validity?: "current" | "expired";
}

const DAY_MS = 24 * 60 * 60 * 1_000;

export class Certificates implements AsyncDisposable {
  readonly folder: string;
  readonly caFile: string;
  readonly #caKeyFile: string;
  #server!: KeyPair;
  #client!: KeyPair;
  #expiredClient!: KeyPair;

  private constructor(folder: string) {
    this.folder = folder;
    this.caFile = join(folder, "ca.crt");
    this.#caKeyFile = join(folder, "ca.key");
  }

  /** An authority of its own: what another one has issued is not trusted by it. */
  static async create(): Promise<Certificates> {
    const made = new Certificates(await Deno.makeTempDir({ prefix: "ilagent-certificates-" }));
    await made.#createAuthority();
    made.#server = await made.issue("server", { role: "server" });
    made.#client = await made.issue("client", { role: "client" });
    made.#expiredClient = await made.issue("expired-client", { role: "client", validity: "expired" });
    return made;
  }

  /** For 127.0.0.1 and localhost. */
  get server(): KeyPair {
    return this.#server;
  }

  get client(): KeyPair {
    return this.#client;
  }

  get expiredClient(): KeyPair {
    return this.#expiredClient;
  }

  /** `name` becomes the common name and the files' name; the same name again replaces the files. */
  async issue(name: string, { role, validity = "current" }: CertificateWish): Promise<KeyPair> {
    const certFile = join(this.folder, `${name}.crt`), keyFile = join(this.folder, `${name}.key`);
    const request = join(this.folder, `${name}.csr`);
    const today = Date.now();
    const [start, end] = validity === "current" ? [today - DAY_MS, today + DAY_MS * 365] : [
      today - DAY_MS * 2,
      today - DAY_MS,
    ];
    await this.#newKey(keyFile);
    await this.#openssl("req", "-new", "-key", keyFile, "-subj", `/CN=${name}`, "-out", request);
    await this.#openssl(
      ...["ca", "-batch", "-notext", "-in", request, "-out", certFile, "-extensions", role],
      ...["-startdate", asn1Time(start), "-enddate", asn1Time(end)],
    );
    return { certFile, keyFile };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }

  async #createAuthority(): Promise<void> {
    await Deno.writeTextFile(join(this.folder, "openssl.cnf"), this.#configuration());
    await Deno.writeTextFile(join(this.folder, "issued.txt"), "");
    await this.#newKey(this.#caKeyFile);
    await this.#openssl(
      ...["req", "-x509", "-key", this.#caKeyFile, "-out", this.caFile, "-days", "365"],
      ...["-subj", "/CN=ilagent test authority", "-extensions", "authority"],
    );
  }

  async #newKey(file: string): Promise<void> {
    const curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    await this.#openssl("genpkey", ...curve, "-out", file);
  }

  #configuration(): string {
    return `
[ca]
default_ca = tests
[tests]
database = ${join(this.folder, "issued.txt")}
new_certs_dir = ${this.folder}
certificate = ${this.caFile}
private_key = ${this.#caKeyFile}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
[req]
distinguished_name = subject
[subject]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
[client]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = clientAuth
`;
  }

  async #openssl(command: string, ...args: string[]): Promise<void> {
    // `genpkey` is the one command that knows no configuration.
    const config = command === "genpkey" ? [] : ["-config", join(this.folder, "openssl.cnf")];
    const options: Deno.CommandOptions = { args: [command, ...config, ...args], stdin: "null" };
    const running = new Deno.Command("openssl", options).output();
    const { success, stderr } = await running.catch((cause: unknown) => {
      throw new Error("Cannot make certificates: there is no openssl that runs here", { cause });
    });
    if (!success) throw new Error(`openssl ${command} failed: ${new TextDecoder().decode(stderr).trim()}`);
  }
}

/** Such as 20260504100000Z. */
function asn1Time(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace(/[-:T]/g, "")}Z`;
}
