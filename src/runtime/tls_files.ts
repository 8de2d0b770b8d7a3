/** The files of a TLS connection, read and checked before a client library gets them. */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { failureOf } from "./failure.ts";

/** PEM files of a TLS connection, as absolute paths; null where the system's own are used, or none. */
export interface TlsFiles {
  caPath: string | null;
  certPath: string | null;
  keyPath: string | null;
}

/** What is in them, as PEM; absent where there is no file. */
export interface TlsMaterial {
  ca?: string;
  cert?: string;
  key?: string;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * Rejects, with one clause that names the file, where one cannot be read or used: Deno takes garbage in place of
 * certificates without a word, and the connection then fails for a reason that points elsewhere.
 */
export async function readTlsFiles({ caPath, certPath, keyPath }: TlsFiles): Promise<TlsMaterial> {
  const [ca, cert, key] = await Promise.all([caPath, certPath, keyPath].map(readText));
  if (caPath !== null) checkCertificates(caPath, ca ?? "");
  if (certPath !== null) checkCertificates(certPath, cert ?? "");
  if (keyPath !== null) checkKey(keyPath, key ?? "", cert);
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

async function readText(path: string | null): Promise<string | undefined> {
  if (path === null) return undefined;
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    throw new Error(`cannot read ${path}: ${failureOf(cause)}`, { cause });
  }
}

function checkCertificates(path: string, pem: string): void {
  const blocks = pem.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new Error(`cannot use ${path}: it holds no certificate in PEM`);
  for (const block of blocks) {
    try {
      new X509Certificate(block);
    } catch (cause) {
      throw new Error(`cannot use ${path}: it holds a certificate that cannot be read`, { cause });
    }
  }
}

function checkKey(path: string, pem: string, cert: string | undefined): void {
  let isOfCertificate: boolean;
  try {
    const key = createPrivateKey(pem);
    isOfCertificate = cert === undefined || new X509Certificate(cert).checkPrivateKey(key);
  } catch (cause) {
    throw new Error(`cannot use ${path}: it holds no private key in PEM that can be read`, { cause });
  }
  if (!isOfCertificate) throw new Error(`cannot use ${path}: it is not the private key of the certificate`);
}
