import assert from "node:assert/strict";
import { BLOCKED_PORTS } from "../../src/config/blocked_ports.ts";
import { brokers, httpHost, listenHost, mqttHost, targetUrl } from "../../src/config/values.ts";

Deno.test("hosts may be absolute names, with a final dot, wherever a host is named", () => {
  const name = "svc.cluster.local.";
  assert.equal(targetUrl(`http://${name}:8080/x`), `http://${name}:8080/x`);
  assert.equal(httpHost(`https://${name}/`), `https://${name}`);
  assert.equal(mqttHost(`${name}:1883`).hostname, name);
  assert.equal(mqttHost(`ws://${name}/mqtt`).hostname, name);
  assert.deepEqual(brokers(`${name}:9093`), [`${name}:9093`]);
  assert.equal(listenHost("localhost."), "localhost.");
  for (const wrong of [".", "a..", ".a", "a b"]) {
    assert.throws(() => mqttHost(wrong), /must be a host/, wrong);
    assert.throws(() => listenHost(wrong), /must be a host name/, wrong);
  }
});

Deno.test("targetUrl() and httpHost() refuse the ports that fetch blocks, and name them", () => {
  for (const parse of [targetUrl, httpHost]) {
    assert.throws(
      () => parse("http://localhost:10080"),
      /must have another port: HTTP clients never connect to 10080/,
    );
    assert.throws(() => parse("https://localhost:1"), /never connect to 1/);
    for (
      const fine of ["http://localhost", "https://localhost", "http://localhost:443", "https://localhost:80"]
    ) {
      assert.equal(parse(fine), fine);
    }
  }
});

Deno.test("BLOCKED_PORTS are ports that fetch blocks", async () => {
  for (const port of BLOCKED_PORTS) {
    await assert.rejects(fetch(`http://127.0.0.1:${port}/`), port === 0 ? TypeError : /blocked/);
  }
});
