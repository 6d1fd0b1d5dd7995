// Proves that the client on the command line (ROOMFUL names the program) gets through what stands between it and
// a server, speaks with servers of Socket.IO 2 and with other parsers, and says what is wrong where it cannot.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { node25, node48 } from "./sites.mjs";
import { endAll, start } from "./support/start.mjs";
import { within } from "./support/within.mjs";

const { ROOMFUL } = process.env;
assert.ok(ROOMFUL, "ROOMFUL is not set: run this by `make test-client`");

const OUTSIDE = ["node", "servers/outside.mjs"];
const PROXY_VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];
const TRANSPORTS = ["polling", "websocket", "upgrade"];
const CONNECTION = 2;

const sites = {};
before(async () => {
  const started = [
    ["new", start(...node48.command)],
    ["packed", start(...node48.command, "--parser", "msgpack")],
    ["old", start(...node25.command)],
    ["oldPacked", start(...node25.command, "--parser", "msgpack")],
  ];
  for (const [name, site] of started) sites[name] = await site;
});
after(async () => {
  for (const site of Object.values(sites)) assert.equal(await site.end(), 0);
  endAll();
});

/** Runs the program: its exit code and what it prints. */
async function run(args, { env = {}, input = "" } = {}) {
  const clean = { ...process.env };
  for (const name of PROXY_VARIABLES) [name, name.toLowerCase()].forEach((name) => delete clean[name]);
  const child = spawn(ROOMFUL, args, { env: { ...clean, ...env } });
  const printed = { out: "", err: "" };
  child.stdout.on("data", (data) => void (printed.out += data));
  child.stderr.on("data", (data) => void (printed.err += data));
  // It may end before it has read all.
  child.stdin.on("error", () => {}).end(input);
  const closed = new Promise((resolve, reject) => {
    child.once("error", reject).once("close", (code) => resolve({ code, ...printed }));
  });
  try {
    return await within(`roomful ${args.join(" ")}`, closed);
  } finally {
    child.kill("SIGKILL");
  }
}

const urlOf = (site, host = "127.0.0.1") => `http://${host}:${site.port}`;
const sum = (url, ...options) => ["call", url, "sum", "1", "2", ...options];

async function works(args, options) {
  assert.deepEqual(await run(args, options), { code: 0, out: "3\n", err: "" });
}

/** It ends with that code, and the cause and the fix are in what it says. */
async function fails(code, words, args, options) {
  const done = await run(args, options);
  assert.deepEqual([done.code, done.out], [code, ""], done.err);
  for (const word of words) assert.match(done.err, word);
  assert.ok(done.err.length < 600, done.err);
}

describe("proxies", { concurrency: 2 }, () => {
  for (const [kind, scheme] of [["http-proxy", "http"], ["socks5", "socks5"]]) {
    test(`${kind} · carries every command, and looks up the name`, async () => {
      const proxy = await start(...OUTSIDE, kind);
      const by = ["--proxy", `${scheme}://127.0.0.1:${proxy.port}`];
      const url = urlOf(sites.new, "site.test");
      for (const transport of TRANSPORTS) await works(sum(url, ...by, "--transport", transport));
      assert.equal((await run(["emit", url, "echo", "1", ...by])).code, 0);
      const heard = await run(["listen", url, "--count", "1", "--json", "-q", ...by]);
      assert.equal(JSON.parse(heard.out).event, "welcome");
      const asked = await run(["connect", url, "-q", ...by], { input: "sum 1 2 ?\n" });
      assert.match(asked.out, /^sum = 3 \(/m);
      assert.ok((await proxy.tell("count")).opened >= TRANSPORTS.length + 3);
      assert.equal(await proxy.end(), 0);
    });

    test(`${kind} · wants a user and a password`, async () => {
      const proxy = await start(...OUTSIDE, kind, "--user", "ada", "--password", "love:lace");
      const by = (login) => ["--proxy", `${scheme}://${login}127.0.0.1:${proxy.port}`];
      const url = urlOf(sites.new);
      await works(sum(url, ...by("ada:love%3Alace@")));
      for (const login of ["", "ada:secret@"]) {
        const done = await run(sum(url, ...by(login)));
        assert.deepEqual([done.code, done.out], [CONNECTION, ""], done.err);
        assert.match(done.err, /proxy/);
        assert.match(done.err, /user:password@/);
        assert.doesNotMatch(done.err, /secret/);
      }
      assert.equal(await proxy.end(), 0);
    });

    test(`${kind} · refuses, and is not there`, async () => {
      const proxy = await start(...OUTSIDE, kind);
      const by = ["--proxy", `${scheme}://127.0.0.1:${proxy.port}`];
      await proxy.tell("refuse");
      await fails(CONNECTION, [/through the proxy/, /--proxy/], sum(urlOf(sites.new), ...by));
      await proxy.tell("accept");
      assert.equal(await proxy.end(), 0);
      const gone = [/through the proxy/, /refused/, /--proxy/];
      await fails(CONNECTION, gone, sum(urlOf(sites.new), ...by));
    });

    test(`${kind} · is named by the environment`, async () => {
      const proxy = await start(...OUTSIDE, kind);
      const address = `${scheme}://127.0.0.1:${proxy.port}`;
      const url = urlOf(sites.new, "site.test");
      for (const name of ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]) {
        await works(sum(url), { env: { [name]: address } });
      }
      const { opened } = await proxy.tell("count");
      // That of the other scheme, and none where NO_PROXY has the host.
      await works(sum(urlOf(sites.new)), { env: { HTTPS_PROXY: address } });
      const none = { HTTP_PROXY: address, NO_PROXY: "localhost, 127.0.0.1" };
      await works(sum(urlOf(sites.new)), { env: none });
      assert.equal((await proxy.tell("count")).opened, opened);
      // What is said is more than what the environment says.
      await works(sum(url, "--proxy", address), { env: { HTTP_PROXY: "http://127.0.0.1:9", NO_PROXY: "*" } });
      assert.equal(await proxy.end(), 0);
    });
  }

  test("https_proxy · carries TLS to the server", async () => {
    const proxy = await start(...OUTSIDE, "http-proxy");
    const tls = await startTls();
    const url = `https://localhost:${tls.port}`;
    await works(sum(url, "--ca", tls.ca), { env: { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` } });
    assert.ok((await proxy.tell("count")).opened > 0);
    assert.equal(await tls.end(), 0);
    assert.equal(await proxy.end(), 0);
  });

  test("a proxy of another kind is named as wrong usage", async () => {
    for (const url of ["https://127.0.0.1:1", "socks4://127.0.0.1:1", "127.0.0.1:1", "http://"]) {
      await fails(1, [/a proxy is http:/, /socks5:/], sum(urlOf(sites.new), "--proxy", url));
    }
  });
});

describe("tls", { concurrency: 2 }, () => {
  test("a server whose authority is trusted", async () => {
    const tls = await startTls();
    for (const host of ["127.0.0.1", "localhost"]) {
      for (const transport of TRANSPORTS) {
        await works(sum(`https://${host}:${tls.port}`, "--ca", tls.ca, "--transport", transport));
      }
    }
    await works(sum(`wss://localhost:${tls.port}`, "--ca", tls.ca));
    assert.equal(await tls.end(), 0);
  });

  test("a server whose authority is not trusted, or is another's", async () => {
    const [tls, other] = [await startTls(), await startTls()];
    const url = `https://localhost:${tls.port}`;
    const words = [/certificate/, /--ca FILE/, /--insecure/];
    for (const options of [[], ["--ca", other.ca]]) await fails(CONNECTION, words, sum(url, ...options));
    const done = await run(sum(url, "--insecure"));
    assert.deepEqual([done.code, done.out], [0, "3\n"], done.err);
    assert.match(done.err, /WARNING: --insecure/);
    for (const server of [tls, other]) assert.equal(await server.end(), 0);
  });

  test("a server with the name of another", async () => {
    const tls = await startTls("--wrong-name");
    const url = `https://localhost:${tls.port}`;
    await fails(CONNECTION, [/not valid for name "localhost"/], sum(url, "--ca", tls.ca));
    assert.equal((await run(sum(url, "--insecure", "-q"))).out, "3\n");
    assert.equal(await tls.end(), 0);
  });

  test("a server that wants a certificate of the client", async () => {
    const [tls, other] = [await startTls("--client-certificate"), await startTls()];
    const options = ["--ca", tls.ca];
    const url = `https://localhost:${tls.port}`;
    for (const transport of TRANSPORTS) {
      const own = ["--cert", tls.clientCert, "--key", tls.clientKey, "--transport", transport];
      await works(sum(url, ...options, ...own));
      // Whatever the authority that has signed it.
      const wrong = ["--cert", other.clientCert, "--key", other.clientKey, "--transport", transport];
      await fails(CONNECTION, [/authority that has signed the one in --cert/], sum(url, ...options, ...wrong));
      const words = [/want a certificate of the client\? --cert FILE --key FILE/];
      await fails(CONNECTION, words, sum(url, ...options, "--transport", transport));
    }
    assert.ok((await tls.tell("count")).refused > 0);
    for (const server of [tls, other]) assert.equal(await server.end(), 0);
  });

  test("files that are no certificates or keys are wrong usage", async () => {
    const [tls, other] = [await startTls(), await startTls()];
    const url = `https://localhost:${tls.port}`;
    const { clientCert, clientKey } = tls;
    await fails(1, [/CA has no certificate in PEM/], sum(url, "--ca", clientKey));
    await fails(1, [/key cannot be read/], sum(url, "--cert", clientCert, "--key", clientCert));
    await fails(1, [/certificate has no certificate/], sum(url, "--cert", clientKey, "--key", clientKey));
    const strangers = sum(url, "--ca", tls.ca, "--cert", clientCert, "--key", other.clientKey);
    await fails(1, [/key/], strangers);
    for (const server of [tls, other]) assert.equal(await server.end(), 0);
  });

  test("https for a server without TLS, and http for one with it", async () => {
    const tls = await startTls();
    await fails(CONNECTION, [/TLS/, /http:\/\//], sum(`https://127.0.0.1:${sites.new.port}`));
    await fails(CONNECTION, [/https:\/\//], sum(`http://127.0.0.1:${tls.port}`));
    assert.equal(await tls.end(), 0);
  });
});

function startTls(...options) {
  return start(...OUTSIDE, "tls", "--to", String(sites.new.port), ...options);
}

describe("Socket.IO 2", () => {
  for (const transport of TRANSPORTS) {
    test(`every command, by ${transport}`, async () => {
      const options = ["--revision", "3", "--transport", transport];
      const url = urlOf(sites.old);
      await works(sum(url, ...options));
      const echoed = await run(["call", url, "ask", '{"a":[1,"é"]}', "text", ...options]);
      assert.deepEqual(echoed, { code: 0, out: '{"a":[1,"é"]}\n"text"\n', err: "" });
      assert.deepEqual(await run(["emit", url, "echo", ...options]), { code: 0, out: "", err: "" });
      const heard = await run(["listen", `${url}?x=1`, "--count", "1", "--json", ...options]);
      const { event, args } = JSON.parse(heard.out);
      assert.deepEqual([event, args[0].query.x, args[0].query.EIO], ["welcome", "1", "3"]);
      assert.equal(JSON.parse(heard.err.split("\n")[0]).status, "connected");
      const asked = await run(["connect", url, "-q", ...options], { input: "/namespace a\nask 1 ?\n" });
      assert.equal(asked.code, 0, asked.err);
      assert.match(asked.out, /^ask = 1 \(/m);
    });

    test(`without the revision it is named, by ${transport}`, async () => {
      const options = ["--transport", transport];
      await fails(CONNECTION, [/Engine\.IO 3/, /--revision 3/], sum(urlOf(sites.old), ...options));
      const listen = ["listen", urlOf(sites.old), ...options];
      await fails(CONNECTION, [/Engine\.IO 3/, /--revision 3/], listen);
    });

    test(`with it at a later server the other one is named, by ${transport}`, async () => {
      const options = ["--transport", transport, "--revision", "3"];
      await fails(CONNECTION, [/--revision 4/], sum(urlOf(sites.new), ...options));
    });
  }

  test("msgpack, and what the namespace is told", async () => {
    const options = ["--revision", "3", "--parser", "msgpack"];
    for (const transport of TRANSPORTS) {
      const by = [...options, "--transport", transport];
      await works(sum(urlOf(sites.oldPacked), ...by));
      const auth = ["--auth", '{"token":"letmein","user":"ada"}', ...by];
      const done = await run(["call", `${urlOf(sites.oldPacked)}/private`, "whoami", ...auth]);
      assert.deepEqual(done, { code: 0, out: '"ada"\n', err: "" });
    }
    const heard = await run(["listen", urlOf(sites.oldPacked), "--count", "1", "--json", "-q", ...options]);
    assert.equal(JSON.parse(heard.out).event, "welcome");
  });

  test("refusals", async () => {
    const private_ = `${urlOf(sites.old)}/private`;
    await fails(3, [/401/, /--auth/], ["call", private_, "whoami", "--revision", "3"]);
    const auth = ["--auth", '{"token":"letmein","user":"ada"}', "--revision", "3"];
    const done = await run(["call", private_, "whoami", ...auth]);
    assert.deepEqual(done, { code: 0, out: '"ada"\n', err: "" });
    const none = ["call", `${urlOf(sites.old)}/none`, "x", "--revision", "3"];
    await fails(3, [/Invalid namespace/, /--namespace/], none);
  });
});

// They drop an event if they read it together with the goodbye of its socket.
for (const name of ["new", "old", "packed", "oldPacked"]) {
  test(`what is emitted is heard before the client leaves, ${name} server`, async () => {
    const revision = name.startsWith("old") ? ["--revision", "3"] : [];
    const options = [...revision, ...(name.endsWith("acked") ? ["--parser", "msgpack"] : [])];
    const [url, times] = [urlOf(sites[name]), 5];
    for (const transport of TRANSPORTS) {
      const by = [...options, "--transport", transport];
      for (const way of ["argument", "line", "prompt"]) {
        const key = `${way}-${transport}`;
        for (let time = 0; time < times; time++) {
          const done = await {
            argument: () => run(["emit", url, "flaky", key, "99", "x", ...by]),
            line: () => run(["emit", url, "flaky", key, "99", "-", ...by], { input: "x\n" }),
            prompt: () => run(["connect", url, "-q", ...by], { input: `flaky ${key} 99 x\n` }),
          }[way]();
          assert.equal(done.code, 0, done.err);
        }
        const seen = await run(["call", url, "seen", key, ...by]);
        assert.deepEqual([key, seen.out], [key, `${times}\n`], seen.err);
      }
    }
  });
}

describe("parsers", () => {
  for (const transport of TRANSPORTS) {
    const options = ["--transport", transport];

    test(`msgpack with a server that speaks it, by ${transport}`, async () => {
      const packed = [...options, "--parser", "msgpack"];
      await works(sum(urlOf(sites.packed), ...packed));
      const bytes = await run(["listen", urlOf(sites.packed), "--count", "1", "-q", ...packed]);
      assert.match(bytes.out, /^[\d:.]+Z welcome \{/);
    });

    test(`the other parser is named, by ${transport}`, async () => {
      // Soon enough for us to hear of it, and late enough for a machine that stalls.
      const timeout = ["--timeout", "10"];
      await fails(CONNECTION, [/--parser msgpack/], sum(urlOf(sites.packed), ...options, ...timeout));
      const packed = ["--parser", "msgpack", ...options, ...timeout];
      await fails(CONNECTION, [/--parser default/], sum(urlOf(sites.new), ...packed));
      await fails(CONNECTION, [/--parser default/], ["listen", urlOf(sites.new), ...packed]);
    });
  }
});
