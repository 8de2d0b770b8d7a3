import assert from "node:assert/strict";
import { join } from "node:path";
import { Certificates } from "../../scripts/services/certificates.ts";
import { readTlsMaterial } from "../../src/clients/tls_material.ts";

const YEARS_MS = 365 * 24 * 60 * 60 * 1_000 * 200;

async function reasonOf(
  caPath: string | null,
  certPath: string | null = null,
  keyPath: string | null = null,
  now = Date.now(),
): Promise<string | null> {
  const reading = await readTlsMaterial({ caPath, certPath, keyPath }, now);
  return reading.kind === "invalid" ? reading.reason : null;
}

Deno.test("readTlsMaterial() gives the texts of valid files, and null for those not named", async () => {
  await using made = await Certificates.create();
  const { certFile, keyFile } = made.client;
  const all = await readTlsMaterial(
    { caPath: made.caFile, certPath: certFile, keyPath: keyFile },
    Date.now(),
  );
  assert.deepEqual(all, {
    kind: "valid",
    material: {
      ca: await Deno.readTextFile(made.caFile),
      cert: await Deno.readTextFile(certFile),
      key: await Deno.readTextFile(keyFile),
    },
  });
  const none = await readTlsMaterial({ caPath: null, certPath: null, keyPath: null }, Date.now());
  assert.deepEqual(none, { kind: "valid", material: { ca: null, cert: null, key: null } });
});

Deno.test("readTlsMaterial() names the file that is missing, garbage, damaged or no key", async () => {
  await using made = await Certificates.create();
  const { certFile, keyFile } = made.client;
  const garbage = join(made.folder, "garbage.pem"), damaged = join(made.folder, "damaged.pem");
  await Deno.writeTextFile(garbage, "garbage");
  await Deno.writeTextFile(damaged, (await Deno.readTextFile(certFile)).replace(/\n[^\n]+\n/, "\n"));
  const missing = join(made.folder, "missing.pem");
  assert.equal(await reasonOf(missing), `${missing} cannot be read: no such file or directory`);
  assert.equal(await reasonOf(garbage), `${garbage} holds no certificate in PEM form`);
  assert.equal(await reasonOf(damaged), `${damaged} holds a damaged certificate`);
  assert.equal(await reasonOf(null, garbage, keyFile), `${garbage} holds no certificate in PEM form`);
  assert.match(await reasonOf(null, certFile, garbage) ?? "", /garbage\.pem holds no private key/);
});

Deno.test("readTlsMaterial() refuses an expired certificate, one that is not valid yet, and the key of another", async () => {
  await using made = await Certificates.create();
  const { client, expiredClient, server } = made;
  assert.match(
    await reasonOf(null, expiredClient.certFile, expiredClient.keyFile) ?? "",
    /\.crt expired on \d{4}-/,
  );
  assert.match(
    await reasonOf(null, client.certFile, client.keyFile, 0) ?? "",
    /\.crt is not valid before \d{4}-/,
  );
  assert.equal(
    await reasonOf(null, client.certFile, server.keyFile),
    `${server.keyFile} is not the key of ${client.certFile}`,
  );
});

Deno.test("readTlsMaterial() takes a bundle of authorities as long as one of them is valid", async () => {
  await using made = await Certificates.create();
  const bundle = join(made.folder, "bundle.pem");
  const expired = await Deno.readTextFile(made.expiredClient.certFile);
  await Deno.writeTextFile(bundle, expired + await Deno.readTextFile(made.caFile));
  assert.equal(await reasonOf(bundle), null);
  assert.match(await reasonOf(bundle, null, null, Date.now() + YEARS_MS) ?? "", /bundle\.pem expired on/);
});
