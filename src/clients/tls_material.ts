/**
 * The PEM files of a TLS connection, read and checked. Checked here, because what a TLS library says of a bad one is
 * late and misleading ("unsupported protocol" for a key of another certificate) or nothing at all.
 */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { failureOf } from "../runtime/failure.ts";
import type { TlsFiles } from "../runtime/tls_files.ts";

/** PEM texts; null where the system's own are used, or none. */
export interface TlsMaterial {
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
}

export type TlsReading =
  | { kind: "valid"; material: TlsMaterial }
  /** `reason` names the file. */
  | { kind: "invalid"; reason: string };

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** `now` in ms since the epoch. Never rejects. */
export async function readTlsMaterial(files: TlsFiles, now: number): Promise<TlsReading> {
  try {
    const [ca, cert, key] = await Promise.all([
      textOf(files.caPath),
      textOf(files.certPath),
      textOf(files.keyPath),
    ]);
    if (ca !== null) checkAuthorities(ca, `${files.caPath}`, now);
    if (cert !== null) checkPair(cert, key, files, now);
    return { kind: "valid", material: { ca, cert, key } };
  } catch (error) {
    return { kind: "invalid", reason: failureOf(error) };
  }
}

async function textOf(path: string | null): Promise<string | null> {
  if (path === null) return null;
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    throw new Error(`${path} cannot be read: ${failureOf(cause)}`, { cause });
  }
}

/** A bundle may hold expired ones beside those that count. */
function checkAuthorities(pem: string, path: string, now: number): void {
  const flaws = certificatesIn(pem, path).map((certificate) => flawOf(certificate, now));
  if (!flaws.includes(null)) throw new Error(`${path} ${flaws[0]}`);
}

/** The first certificate is the client's own; those after it lead to its authority. */
function checkPair(cert: string, key: string | null, { certPath, keyPath }: TlsFiles, now: number): void {
  const [own] = certificatesIn(cert, `${certPath}`);
  const flaw = own === undefined ? null : flawOf(own, now);
  if (flaw !== null) throw new Error(`${certPath} ${flaw}`);
  if (key !== null && !own?.checkPrivateKey(privateKeyIn(key, `${keyPath}`))) {
    throw new Error(`${keyPath} is not the key of ${certPath}`);
  }
}

function certificatesIn(pem: string, path: string): X509Certificate[] {
  const blocks = pem.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new Error(`${path} holds no certificate in PEM form`);
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (cause) {
    throw new Error(`${path} holds a damaged certificate`, { cause });
  }
}

function privateKeyIn(pem: string, path: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new Error(`${path} holds no private key in PEM form without a passphrase`, { cause });
  }
}

function flawOf({ validFrom, validTo }: X509Certificate, now: number): string | null {
  if (Date.parse(validTo) < now) return `expired on ${dayOf(validTo)}`;
  return Date.parse(validFrom) > now ? `is not valid before ${dayOf(validFrom)}` : null;
}

function dayOf(date: string): string {
  return new Date(date).toISOString().slice(0, 16).replace("T", " ");
}
