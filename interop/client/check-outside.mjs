// Proves that what may stand between a client and a site does its part: the proxies and the TLS of
// servers/outside.mjs.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { node48 } from "./sites.mjs";
import { Bench, ask, once } from "./support/bench.mjs";
import { request } from "./support/request.mjs";
import { endAll, start } from "./support/start.mjs";
import { agentThrough } from "./support/tunnel.mjs";
import { within } from "./support/within.mjs";

const OUTSIDE = ["node", "servers/outside.mjs"];
const LOGIN = { user: "ada", password: "love:lace" };
const LOGIN_OPTIONS = ["--user", LOGIN.user, "--password", LOGIN.password];
const io = createRequire(import.meta.url)("client-4.8");
const path = "/socket.io/?EIO=4&transport=polling";

let site;
before(async () => {
  site = await start(...node48.command);
});
after(async () => {
  assert.equal(await site.end(), 0);
  endAll();
});

describe("proxies", { concurrency: true }, () => {
  checkProxy("http-proxy", { refused: "refused with 403", unauthorized: "refused with 407" });
  checkProxy("socks5", { refused: "refused with code 2", unauthorized: "refused with login 1" });
});

function checkProxy(kind, expected) {
  test(`${kind} · carries a client, counts and cuts`, async () => {
    const proxy = await start(...OUTSIDE, kind);
    for (const transport of ["polling", "websocket", "upgraded"]) {
      const bench = new Bench({ ...node48, options: [] }, site.port, transport);
      const socket = await bench.connect("/", { agent: agentThrough(kind, proxy) });
      assert.equal(await ask(socket, "sum", 1, 2), 3);
      assert.ok((await proxy.tell("count")).opened > 0);
      const gone = once(socket, "disconnect");
      // A client that polls may have no tunnel just now, so it must not open the next one either.
      await proxy.tell("refuse");
      await proxy.tell("cut");
      await gone;
      await proxy.tell("accept");
      bench.close();
    }
    assert.equal(await proxy.end(), 0);
  });

  test(`${kind} · knows hosts that others do not`, async () => {
    const proxy = await start(...OUTSIDE, kind);
    const agent = agentThrough(kind, proxy, { host: "site.test" });
    assert.equal((await request({ port: site.port, path, agent })).status, 200);
    assert.deepEqual(await proxy.tell("count"), { opened: 1, refused: 0, unauthorized: 0 });
    assert.equal(await proxy.terminate(), 0);
  });

  test(`${kind} · refuses while it is told to`, async () => {
    const proxy = await start(...OUTSIDE, kind);
    const agent = agentThrough(kind, proxy);
    await proxy.tell("refuse");
    await assert.rejects(request({ port: site.port, path, agent }), { message: expected.refused });
    assert.deepEqual(await proxy.tell("accept"), { opened: 0, refused: 1, unauthorized: 0 });
    assert.equal((await request({ port: site.port, path, agent })).status, 200);
    assert.equal(await proxy.end(), 0);
  });

  test(`${kind} · wants the right name and password`, async () => {
    const proxy = await start(...OUTSIDE, kind, ...LOGIN_OPTIONS);
    const wrong = agentThrough(kind, proxy, { ...LOGIN, password: "wrong" });
    await assert.rejects(request({ port: site.port, path, agent: wrong }), { message: expected.unauthorized });
    await assert.rejects(request({ port: site.port, path, agent: agentThrough(kind, proxy) }));
    const agent = agentThrough(kind, proxy, LOGIN);
    assert.equal((await request({ port: site.port, path, agent })).status, 200);
    const { opened, unauthorized } = await proxy.tell("count");
    // SOCKS5 ends before a client without a password has asked for anything.
    assert.deepEqual({ opened, unauthorized }, { opened: 1, unauthorized: kind === "socks5" ? 1 : 2 });
    assert.equal(await proxy.end(), 0);
  });
}

describe("tls", { concurrency: true }, () => {
  test("tls · carries a client that trusts its authority", async () => {
    const tls = await startTls();
    for (const transports of [["polling"], ["websocket"]]) {
      await visit(tls, { transports, ca: readFileSync(tls.ca) });
    }
    await assert.rejects(visit(tls, {}));
    assert.equal(await tls.end(), 0);
    assert.equal(existsSync(tls.ca), false);
  });

  test("tls · wants the certificate of a client", async () => {
    const tls = await startTls("--client-certificate");
    const ca = readFileSync(tls.ca);
    await visit(tls, { ca, cert: readFileSync(tls.clientCert), key: readFileSync(tls.clientKey) });
    await assert.rejects(visit(tls, { ca }));
    assert.ok((await tls.tell("count")).refused > 0);
    assert.equal(await tls.end(), 0);
  });

  test("tls · shows the name of another", async () => {
    const tls = await startTls("--wrong-name");
    await assert.rejects(visit(tls, { ca: readFileSync(tls.ca) }));
    await visit(tls, { rejectUnauthorized: false });
    assert.equal(await tls.end(), 0);
  });
});

function startTls(...options) {
  return start(...OUTSIDE, "tls", "--to", String(site.port), ...options);
}

/** A client that comes in and asks; fails when it cannot come in. */
async function visit(tls, options) {
  const socket = io(`https://127.0.0.1:${tls.port}`, { forceNew: true, reconnection: false, ...options });
  try {
    await within("a client to connect", new Promise((resolve, reject) => {
      socket.on("connect", resolve).on("connect_error", reject);
    }));
    assert.equal(await ask(socket, "sum", 1, 2), 3);
  } finally {
    socket.close();
  }
}
