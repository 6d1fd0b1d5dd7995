// Proves that each server keeps the contract of README.md, with the official client that fits it: what a client
// under test then fails at a server is its own fault.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { features, leftOut } from "./features.mjs";
import { bun, node25, node31, node45, node48, ours, python, sites } from "./sites.mjs";
import { Bench } from "./support/bench.mjs";
import { request } from "./support/request.mjs";
import { endAll, exitCode, start } from "./support/start.mjs";

after(endAll);
// Not all at once: a wait that is too long because of other checks would be no fault of a server.
describe("sites", { concurrency: 4 }, () => sites.forEach(checkSite));
describe("command lines", { concurrency: 4 }, () => {
  [node48, node45, node31, node25, bun, python, ours].forEach(checkCommand);
});

function checkSite(site) {
  // What compresses is slow to begin, for each connection.
  const concurrency = site.options.includes("--deflate") ? 2 : 8;
  describe(site.name, { concurrency }, () => {
    let server;
    before(async () => {
      server = await start(...site.command, ...site.options);
    });
    after(async () => {
      assert.equal(await server.end(), 0);
    });
    for (const transport of ["polling", "websocket", "upgraded"]) {
      for (const [feature, check] of Object.entries(features)) {
        if (leftOut(feature, site, transport)) continue;
        test(`${site.name} · ${transport} · ${feature}`, async () => {
          const bench = new Bench(site, server.port, transport);
          try {
            await check({ bench, site, transport });
          } finally {
            bench.close();
          }
        });
      }
    }
  });
}

/** What is not of the events: the options, the cookie, the end. */
function checkCommand(site) {
  const opening = (transport) => {
    return `/socket.io/?EIO=${site === node25 ? 3 : 4}&transport=${transport}`;
  };

  test(`${site.title} · sockets, cookie and signal`, async () => {
    const unix = join(tmpdir(), `site-${process.pid}-${site.title.replace(" ", "-")}.sock`);
    const server = await start(...site.command, "--unix", unix);
    assert.equal(server.unix, unix);
    for (const at of [{ port: server.port }, { socketPath: unix }]) {
      for (const transport of ["polling", "websocket"]) {
        const { status, headers } = await request({ ...at, path: opening(transport) });
        assert.equal(status, transport === "polling" ? 200 : 101);
        assert.deepEqual(headers["set-cookie"], ["site=1; Path=/"], transport);
      }
    }
    assert.equal(await server.terminate(), 0);
    assert.equal(existsSync(unix), false);
  });

  test(`${site.title} · heartbeat and upgrades`, async () => {
    const upgrades = site.cannot.includes("no-upgrade") ? [] : ["--no-upgrade"];
    const server = await start(...site.command, "--ping-interval", "3000", "--ping-timeout", "2000", ...upgrades);
    const { text } = await request({ port: server.port, path: opening("polling") });
    const open = JSON.parse(text.match(/\{.*?\}/)[0]);
    assert.equal(open.pingInterval, 3000);
    assert.equal(open.pingTimeout, 2000);
    assert.deepEqual(open.upgrades, upgrades.length > 0 ? [] : ["websocket"]);
    assert.equal(await server.end(), 0);
  });

  if (!site.cannot.includes("transports")) {
    for (const [option, statuses] of [["--no-polling", [400, 101]], ["--no-websocket", [200, 400]]]) {
      test(`${site.title} · ${option}`, async () => {
        const { port, end } = await start(...site.command, option);
        const ask = (transport) => request({ port, path: opening(transport) });
        const answers = await Promise.all(["polling", "websocket"].map(ask));
        assert.deepEqual(answers.map(({ status }) => status), statuses);
        assert.equal(await end(), 0);
      });
    }
  }

  const refused = { "--no-upgrade": "no-upgrade", "--no-polling": "transports", "--recovery": "recovery" };
  for (const [option, word] of Object.entries(refused)) {
    if (!site.cannot.includes(word)) continue;
    test(`${site.title} · refuses ${option}`, async () => {
      assert.equal(await exitCode(...site.command, option), 2);
    });
  }
}
