// The newest client in a browser, over every transport it has there, against the fixture of
// `interop/node` (SERVER). What is tested is what a browser does otherwise than Node: its own XHR,
// fetch and WebSocket, its kinds of binary, origins and cookies, and the network that it knows of.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, before, describe, it } from "node:test";
import { ask, dial, modes, ready } from "../node/support/client.mjs";
import { startServer } from "../node/support/server.mjs";
import { next } from "../node/support/wait.mjs";
import { Wire } from "../node/support/wire.mjs";
import { launch } from "./visitor.mjs";

const TIMEOUT_MS = 15_000;
const THRESHOLD = 1_024;
const WINDOW_MS = 60_000;

// `classes` are those that the client exports, in the order in which it may use them.
const WAYS = [
  { name: "XHR polling", classes: ["XHR"], ends: "polling", requests: "xhr" },
  { name: "fetch polling", classes: ["Fetch"], ends: "polling", requests: "fetch" },
  { name: "WebSocket", classes: ["WebSocket"], ends: "websocket" },
  { name: "upgraded", classes: ["XHR", "WebSocket"], ends: "websocket", requests: "xhr" },
];
const CLIENT_FILE = new URL("../node/node_modules/socket.io-client/dist/socket.io.esm.min.js", import.meta.url);

let browser, context;
before(async () => {
  browser = await launch();
  context = await browser.newContext();
  context.setDefaultTimeout(TIMEOUT_MS);
});
after(() => browser?.close());

/**
 * A page of the origin `url` that speaks to the server at `server`, with the client from `home`.
 * Whatever it has open is closed at the end.
 */
async function onPage({ url, server = url, home = server }, use) {
  const page = await context.newPage();
  try {
    const errors = [];
    page.on("pageerror", (error) => errors.push(error.stack ?? String(error)));
    // Any document of that origin will do, and the client is one.
    await page.goto(clientOf(url));
    await page.evaluate(equip, { client: clientOf(home), server, patience: TIMEOUT_MS });
    await use(page);
    await page.evaluate(() => kit.closeAll());
    assert.deepEqual(errors, []);
  } finally {
    await page.close();
  }
}

const clientOf = (url) => `${url}/socket.io/socket.io.esm.min.js`;

/** Runs in the page, once: the words that the tests speak there. */
async function equip({ client, server, patience }) {
  const classes = await import(client);
  const sockets = [];
  const within = (what, promise) => {
    const tooLate = new Promise((_resolve, reject) => {
      setTimeout(() => reject(new Error(`gave up waiting for ${what}`)), patience);
    });
    return Promise.race([promise, tooLate]);
  };
  const next = (emitter, event) =>
    within(event, new Promise((resolve) => emitter.once(event, (...args) => resolve(args))));
  const manage = ({ classes: names, name: _name, ends: _ends, requests: _requests, ...options } = {}) =>
    new classes.Manager(server, {
      reconnection: false,
      ...(names && { transports: names.map((name) => classes[name]) }),
      ...options,
    });
  const open = (options = {}, { nsp = "/", ...own } = {}) => {
    const socket = (options.socket ? options : manage(options)).socket(nsp, own);
    sockets.push(socket);
    return socket;
  };
  const settled = async (socket, ends) => {
    const welcome = next(socket, "welcome");
    const refused = new Promise((_resolve, reject) => socket.once("connect_error", reject));
    const [given] = await Promise.race([welcome, refused]);
    const { engine } = socket.io;
    if (ends && engine.transport.name !== ends) await next(engine, "upgrade");
    return given;
  };
  const connect = async (way, own) => {
    const socket = open(way, own);
    await settled(socket, way.ends);
    return socket;
  };
  const ask = (socket, event, ...args) => socket.timeout(patience).emitWithAck(event, ...args);
  const gather = (socket, event) => {
    const values = [];
    socket.on(event, (value) => values.push(value));
    return values;
  };
  // What a test compares outside of the page: bytes of any kind as a list of numbers.
  const plain = (value) => {
    if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)] };
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
  };
  const closeAll = () => sockets.forEach((socket) => socket.disconnect());
  const range = (n) => Array.from({ length: n }, (_, i) => i);
  globalThis.kit = { manage, open, settled, connect, ask, next, gather, plain, range, closeAll, memory: {} };
}

/** One server for the tests that `define` names, and a page of that server for each. */
function serving(noun, env, define) {
  describe(noun, { concurrency: 1 }, () => {
    let server;
    before(async () => (server = await startServer(env)));
    after(() => server?.stop());
    const onServer = (title, body) => it(title, () => body(server));
    const onOwnPage = (title, body) =>
      onServer(title, (server) => onPage({ url: server.url }, body));
    define({ onServer, onOwnPage });
  });
}

const isHandshake = (request) => /\/socket\.io\/\?/.test(request.url()) && !request.url().includes("sid=");

/** What the page asked of the server below its path, the files of the client left out. */
function listen(page) {
  const requests = [];
  page.on("request", (request) => {
    if (request.url().includes("/socket.io/?")) requests.push(request);
  });
  return requests;
}

serving("transports", {}, ({ onServer, onOwnPage }) => {
  for (const way of WAYS) {
    onOwnPage(`a client connects, on the transport that was chosen [${way.name}]`, async (page) => {
      const requests = listen(page);
      const seen = await page.evaluate(async (way) => {
        const socket = kit.open(way, { auth: { name: "näh ✓" } });
        const welcome = await kit.settled(socket, way.ends);
        await kit.ask(socket, "echo-ack");
        return { welcome, id: socket.id, transport: socket.io.engine.transport.name };
      }, way);
      assert.deepEqual(seen.welcome, { id: seen.id, auth: { name: "näh ✓" } });
      assert.equal(seen.transport, way.ends);
      const kinds = new Set(requests.map((request) => request.resourceType()).filter((kind) => kind !== "websocket"));
      assert.deepEqual([...kinds], way.requests ? [way.requests] : []);
    });

    onOwnPage(`the token decides who may come in [${way.name}]`, async (page) => {
      const seen = await page.evaluate(async (way) => {
        const refused = kit.open(way, { nsp: "/admin", auth: { token: "wrong" } });
        const [error] = await kit.next(refused, "connect_error");
        refused.auth = { token: "letmein" };
        const welcome = kit.settled(refused.connect(), way.ends);
        return { message: error.message, data: error.data, auth: (await welcome).auth };
      }, way);
      assert.deepEqual(seen, {
        message: "not allowed",
        data: { code: 401, hint: "bad token" },
        auth: { token: "letmein" },
      });
    });

    onOwnPage(`events and acks go both ways, in order and unharmed [${way.name}]`, async (page) => {
      const values = ["", "schön 雪 😀 \u2028 \u0000", -0.5, null, true, [], { nested: [{ "": "🏳️‍🌈" }] }, "雪".repeat(40_000)];
      const seen = await page.evaluate(async ({ way, values }) => {
        const socket = await kit.connect(way);
        const echoed = kit.next(socket, "echo");
        socket.emit("echo", ...values);
        const asked = await kit.ask(socket, "echo-ack", ...values.slice(0, 1), values);
        const question = new Promise((resolve) => {
          socket.once("question", (...args) => {
            args.pop()("answered", args);
            resolve(args);
          });
        });
        const answer = kit.next(socket, "answer");
        socket.emit("ask", "who?", { are: "you ✓" });
        const ticks = kit.gather(socket, "tick");
        const count = await kit.ask(socket, "burst", 300);
        return { echoed: await echoed, asked, question: await question, answer: await answer, ticks, count };
      }, { way, values });
      assert.deepEqual(seen.echoed, values);
      assert.equal(seen.asked, values[0]);
      assert.deepEqual(seen.question, ["who?", { are: "you ✓" }]);
      assert.deepEqual(seen.answer, ["answered", seen.question]);
      assert.deepEqual(seen.ticks, Array.from({ length: 300 }, (_, i) => i));
      assert.equal(seen.count, 300);
    });

    onOwnPage(`every kind of binary that a browser has goes both ways [${way.name}]`, async (page) => {
      const seen = await page.evaluate(async (way) => {
        const socket = await kit.connect(way);
        const bytes = Uint8Array.from(kit.range(256));
        const kinds = {
          buffer: bytes.buffer,
          part: bytes.subarray(10, 13),
          words: Uint16Array.of(0x0201, 0x0403),
          view: new DataView(bytes.buffer, 254, 2),
          blob: new Blob([bytes.subarray(0, 3), "ä"]),
          file: new File([bytes.subarray(3, 5)], "five.bin"),
          empty: new ArrayBuffer(0),
        };
        const echoed = kit.next(socket, "echo");
        socket.emit("echo", kinds, "between", bytes);
        const answer = kit.next(socket, "answer");
        socket.once("question", (given, reply) => reply(new Blob(["answer"]), given));
        socket.emit("ask", bytes.subarray(250));
        const asked = await kit.ask(socket, "echo-ack", new Blob([bytes]));
        return kit.plain({ echoed: await echoed, asked, answer: await answer });
      }, way);
      const all = { bytes: Array.from({ length: 256 }, (_, i) => i) };
      const text = (string) => ({ bytes: [...Buffer.from(string)] });
      const kinds = {
        buffer: all,
        part: { bytes: [10, 11, 12] },
        words: { bytes: [1, 2, 3, 4] },
        view: { bytes: [254, 255] },
        blob: { bytes: [0, 1, 2, 0xc3, 0xa4] },
        file: { bytes: [3, 4] },
        empty: { bytes: [] },
      };
      assert.deepEqual(seen.echoed, [kinds, "between", all]);
      assert.deepEqual(seen.asked, all);
      assert.deepEqual(seen.answer, [text("answer"), { bytes: [250, 251, 252, 253, 254, 255] }]);
    });

    onOwnPage(`rooms reach their members and nobody else [${way.name}]`, async (page) => {
      const seen = await page.evaluate(async (way) => {
        const [ada, bob, eve] = await Promise.all([1, 2, 3].map(() => kit.connect(way)));
        const heard = [ada, bob, eve].map((socket) => kit.gather(socket, "news"));
        const room = `räum ${ada.id}`;
        for (const socket of [ada, bob]) await kit.ask(socket, "join", room);
        await kit.ask(ada, "say", room, "news", "to all");
        await kit.ask(eve, "say-others", room, "news", "from outside");
        await kit.ask(ada, "say-others", room, "news", "to the others");
        await kit.ask(bob, "leave", room);
        await kit.ask(eve, "say-rooms", [room, ada.id], "news", "to who is left, once");
        for (const socket of [ada, bob, eve]) await kit.ask(socket, "echo-ack");
        return heard;
      }, way);
      assert.deepEqual(seen, [
        ["to all", "from outside", "to who is left, once"],
        ["to all", "from outside", "to the others"],
        [],
      ]);
    });

    onOwnPage(`namespaces share one connection and keep apart [${way.name}]`, async (page) => {
      const requests = listen(page);
      const seen = await page.evaluate(async (way) => {
        const manager = kit.manage(way);
        const sockets = ["/", "/a", "/b"].map((nsp) => kit.open(manager, { nsp }));
        await Promise.all(sockets.map((socket, i) => kit.settled(socket, i === 0 ? way.ends : undefined)));
        const heard = sockets.map((socket) => kit.gather(socket, "news"));
        await Promise.all(sockets.map((socket) => kit.ask(socket, "join", "den")));
        for (const [i, socket] of sockets.entries()) await kit.ask(socket, "say", "den", "news", i);
        const unknown = kit.open(manager, { nsp: "/nowhere" });
        const [error] = await kit.next(unknown, "connect_error");
        sockets[1].disconnect();
        const rest = await kit.ask(sockets[2], "echo-ack", "still there");
        return { heard, ids: new Set(sockets.map(({ id }) => id)).size, message: error.message, rest };
      }, way);
      assert.deepEqual(seen.heard, [[0], [1], [2]]);
      assert.equal(seen.ids, 3);
      assert.equal(seen.message, "Invalid namespace");
      assert.equal(seen.rest, "still there");
      const handshakes = requests.filter(isHandshake);
      assert.equal(handshakes.length, way.requests ? 1 : 0);
    });

    onOwnPage(`volatile events may get lost, but never doubled or out of order [${way.name}]`, async (page) => {
      const seen = await page.evaluate(async (way) => {
        const socket = kit.open({ ...way, autoConnect: false });
        // While away, what is volatile is not kept, and what is not is.
        socket.volatile.emit("count", "volatile");
        socket.emit("count", "kept");
        socket.connect();
        await kit.settled(socket, way.ends);
        // The server knows of the upgrade as well.
        await kit.ask(socket, "echo-ack");
        const ticks = kit.gather(socket, "tick");
        await kit.ask(socket, "burst-volatile", 200);
        return { ticks, counts: [await kit.ask(socket, "count", "volatile"), await kit.ask(socket, "count", "kept")] };
      }, way);
      assert.deepEqual(seen.counts, [1, 2]);
      assert.deepEqual(seen.ticks, [...new Set(seen.ticks)].sort((a, b) => a - b));
      assert.ok(seen.ticks.every((tick) => tick < 200));
      // Nothing else is under way, so a WebSocket takes the first.
      if (way.ends === "websocket") assert.equal(seen.ticks[0], 0);
    });

    onOwnPage(`an event whose first ack is missing arrives by retries [${way.name}]`, async (page) => {
      const attempts = await page.evaluate(async (way) => {
        const socket = await kit.connect(way, { retries: 20, ackTimeout: 500 });
        return new Promise((resolve, reject) => {
          socket.emit("drop-first", "key", (error, count) => (error ? reject(error) : resolve(count)));
        });
      }, way);
      assert.ok(attempts >= 2);
    });

    onServer(`a lost connection returns, and what was emitted meanwhile arrives once [${way.name}]`, (server) =>
      onWire(server, way, async ({ page, lose, mend }) => {
        const before = await page.evaluate(() => kit.memory.socket.id);
        await lose();
        await page.evaluate(() => [1, 2, 3].forEach(() => kit.memory.socket.emit("count", "meanwhile")));
        await mend();
        const seen = await page.evaluate(async () => {
          const { socket } = kit.memory;
          return { count: await kit.ask(socket, "count", "meanwhile"), id: socket.id, recovered: socket.recovered };
        });
        assert.equal(seen.count, 4);
        assert.ok(!seen.recovered);
        assert.notEqual(seen.id, before);
      }));
  }

  onOwnPage("with the client's own choice it is WebSocket, and WebTransport is not tried", async (page) => {
    const seen = await page.evaluate(async () => {
      let tried = 0;
      const Real = globalThis.WebTransport;
      globalThis.WebTransport = class extends Real {
        constructor(...args) {
          super(...args);
          tried += 1;
        }
      };
      const socket = kit.open();
      const handshake = new Promise((resolve) => {
        socket.io.engine.once("handshake", ({ upgrades }) => resolve(upgrades));
      });
      await kit.settled(socket, "websocket");
      return { upgrades: await handshake, tried, transport: socket.io.engine.transport.name };
    });
    assert.deepEqual(seen, { upgrades: ["websocket"], tried: 0, transport: "websocket" });
  });
});

serving("recovery", { RECOVERY: String(WINDOW_MS) }, ({ onServer }) => {
  for (const way of WAYS) {
    onServer(`a lost connection is recovered with its rooms and what it missed [${way.name}]`, (server) =>
      onWire(server, way, async ({ page, speaker, lose, mend }) => {
        const { id, den } = await page.evaluate(joinDen);
        await ask(speaker, "say", den, "news", "before");
        await page.evaluate(() => kit.ask(kit.memory.socket, "echo-ack"));
        await lose();
        for (const value of ["missed ✓", Buffer.of(1, 2, 3), "and this"]) await ask(speaker, "say", den, "news", value);
        await mend();
        await ask(speaker, "say", den, "news", "after");
        assert.deepEqual(await page.evaluate(recoveredAs), {
          id,
          recovered: true,
          news: ["before", "missed ✓", { bytes: [1, 2, 3] }, "and this", "after"],
          known: true,
        });
      }));

    onServer(`a browser that was offline is recovered [${way.name}]`, (server) =>
      onPage({ url: server.url }, async (page) => {
        const speaker = await ready(dial(server, modes[1]), modes[1]);
        try {
          await page.evaluate(comeAndStay, way);
          const { id, den } = await page.evaluate(joinDen);
          await page.evaluate(watchDisconnect);
          await context.setOffline(true);
          // A poll may fail before the page is told that it is offline.
          assert.match(await page.evaluate(() => kit.memory.gone), /^transport (close|error)$/);
          await ask(speaker, "say", den, "news", "missed");
          await page.evaluate(watchReturn);
          await context.setOffline(false);
          await page.evaluate(() => kit.memory.back);
          assert.deepEqual(await page.evaluate(recoveredAs), { id, recovered: true, news: ["missed"], known: true });
        } finally {
          await context.setOffline(false);
          speaker.disconnect();
        }
      }));
  }
});

/** Runs in the page: a socket that comes back by itself. */
async function comeAndStay(way) {
  const eager = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 20 };
  kit.memory.socket = await kit.connect({ ...way, ...eager });
  kit.memory.news = kit.gather(kit.memory.socket, "news");
}

async function joinDen() {
  const { socket } = kit.memory;
  const den = `den ${socket.id}`;
  await kit.ask(socket, "join", den);
  return { id: socket.id, den };
}

function watchDisconnect() {
  kit.memory.gone = kit.next(kit.memory.socket, "disconnect").then(([reason]) => reason);
}

function watchReturn() {
  kit.memory.back = kit.next(kit.memory.socket, "welcome").then(() => {});
}

async function recoveredAs() {
  const { socket, news } = kit.memory;
  // Whatever was sent before the answer to this has arrived before it.
  const known = await kit.ask(socket, "recovered");
  return { id: socket.id, recovered: socket.recovered, news: kit.plain(news), known };
}

/**
 * A page whose only way to the server is a wire, and a speaker beside it who sees it go. lose() cuts
 * the wire and waits until both ends know; mend() lets the page return.
 */
async function onWire(server, way, use) {
  const wire = await Wire.to(server);
  const speaker = await ready(dial(server, modes[1]), modes[1]);
  try {
    await ask(speaker, "join", "watch");
    await onPage({ url: wire.url }, async (page) => {
      await page.evaluate(comeAndStay, way);
      const lose = async () => {
        const id = await page.evaluate(() => kit.ask(kit.memory.socket, "echo-ack").then(() => kit.memory.socket.id));
        if (way.ends === "polling") await wire.waitingGet();
        await page.evaluate(watchDisconnect);
        const left = next(speaker, "left", { accept: (who) => who === id });
        wire.cut();
        await left;
        await page.evaluate(() => kit.memory.gone);
      };
      const mend = async () => {
        await page.evaluate(watchReturn);
        wire.mend();
        await page.evaluate(() => kit.memory.back);
      };
      await use({ page, speaker, wire, lose, mend });
    });
  } finally {
    speaker.disconnect();
    wire.close();
  }
}

serving("compression", { DEFLATE: String(THRESHOLD), HTTP_COMPRESSION: String(THRESHOLD) }, ({ onServer, onOwnPage }) => {
  const records = Array.from({ length: 500 }, (_, id) => ({ id, text: "schön 雪 😀" }));

  for (const way of WAYS.filter(({ ends }) => ends === "websocket")) {
    onServer(`the browser's offer is agreed on, and large messages are compressed both ways [${way.name}]`, (server) =>
      onWire(server, way, async ({ page, wire }) => {
        const agreed = await handshakeOf(page, way);
        assert.match(agreed, /^permessage-deflate/);
        const [line] = wire.webSockets.slice(-1);
        assert.equal(line.extensions, agreed);
        const compressed = (frames) => frames.filter((frame) => frame.compressed).length;
        const before = [line.up, line.down].map(compressed);
        const { small, large } = await page.evaluate(async (records) => {
          const { other } = kit.memory;
          return { small: await kit.ask(other, "echo-ack", "small"), large: await kit.ask(other, "echo-ack", records) };
        }, records);
        assert.equal(small, "small");
        assert.deepEqual(large, records);
        // Which messages a browser compresses is its own business; that it may, and we read them, is ours.
        assert.ok(compressed(line.up) > before[0]);
        assert.equal(compressed(line.down), before[1] + 1);
      }));
  }

  for (const way of WAYS.filter(({ ends }) => ends === "polling")) {
    onOwnPage(`large answers to polls are compressed [${way.name}]`, async (page) => {
      const answers = [];
      page.on("response", (response) => {
        if (response.url().includes("/socket.io/?")) answers.push(response);
      });
      const large = await page.evaluate(async ({ way, records }) => {
        const socket = await kit.connect(way);
        return kit.ask(socket, "echo-ack", records);
      }, { way, records });
      assert.deepEqual(large, records);
      // Those that there are by now: the poll under way is answered when the page goes, and nobody can
      // be asked about it any more.
      const codings = await Promise.all(answers.map((answer) => answer.headerValue("content-encoding")));
      const used = codings.filter((coding) => coding !== null);
      assert.equal(used.length, 1);
      assert.match(used[0], /^(gzip|deflate|br)$/);
    });
  }
});

/** The extensions that a WebSocket of the page agreed on, as the browser itself tells. */
async function handshakeOf(page, way) {
  const devtools = await context.newCDPSession(page);
  await devtools.send("Network.enable");
  const opened = once(devtools, "Network.webSocketHandshakeResponseReceived");
  await page.evaluate(async (way) => (kit.memory.other = await kit.connect(way)) && undefined, way);
  const [{ response }] = await opened;
  const [, agreed] = Object.entries(response.headers).find(([name]) => /^sec-websocket-extensions$/i.test(name)) ?? [];
  return agreed;
}

describe("origins", { concurrency: 1 }, () => {
  for (const way of WAYS) {
    it(`a page of an origin that may connect does so, with cookies if it likes [${way.name}]`, () =>
      withSite((site) =>
        withServer({ ORIGIN: site }, (server) =>
          onPage({ url: site, server: server.url }, async (page) => {
            await context.addCookies([{ name: "who", value: "ada", url: server.url }]);
            const cookie = async (options) => {
              const opened = way.requests && page.waitForEvent("requestfinished", isHandshake);
              assert.equal(await page.evaluate(tryToConnect, { way, options }), "welcome");
              return way.requests && (await opened).headerValue("cookie");
            };
            assert.equal(await cookie({ withCredentials: true }), way.requests && "who=ada");
            assert.equal(await cookie({}), way.requests && null);
            await context.clearCookies();
          }))));

    it(`a page of another origin is refused, and one of the same host is not [${way.name}]`, () =>
      withSite((site) =>
        withServer({ ORIGIN: "https://example.org" }, async (server) => {
          await onPage({ url: site, server: server.url, home: site }, async (page) => {
            assert.equal(await page.evaluate(tryToConnect, { way }), REFUSALS[way.classes[0]]);
          });
          await onPage({ url: server.url }, async (page) => {
            assert.equal(await page.evaluate(tryToConnect, { way }), "welcome");
          });
        })));

    it(`where every origin may connect, none does so with cookies [${way.name}]`, () =>
      withSite((site) =>
        withServer({ ORIGIN: "*" }, (server) =>
          onPage({ url: site, server: server.url }, async (page) => {
            assert.equal(await page.evaluate(tryToConnect, { way }), "welcome");
            // It is the browser that keeps the answers from the page; it asks nobody about WebSockets.
            const polls = way.requests !== undefined;
            const outcome = await page.evaluate(tryToConnect, { way, options: { withCredentials: true } });
            assert.equal(outcome, polls ? REFUSALS[way.classes[0]] : "welcome");
          }))));
  }
});

/** What the client says where the browser or the server does not let it in. */
const REFUSALS = {
  XHR: "TransportError: xhr poll error",
  Fetch: "TransportError: fetch read error",
  WebSocket: "TransportError: websocket error",
};

/** Runs in the page: who comes in, or why not. */
async function tryToConnect({ way, options = {} }) {
  const socket = kit.open({ ...way, ...options });
  try {
    await kit.settled(socket, way.ends);
    return await kit.ask(socket, "echo-ack", "welcome");
  } catch (error) {
    return `${error.type}: ${error.message}`;
  } finally {
    socket.disconnect();
  }
}

/** A site of another origin, which has a copy of the client. */
async function withSite(use) {
  const client = await readFile(CLIENT_FILE);
  const site = createServer((_request, response) => {
    response.setHeader("content-type", "text/javascript; charset=utf-8").end(client);
  });
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  try {
    await use(`http://127.0.0.1:${site.address().port}`);
  } finally {
    site.closeAllConnections();
    site.close();
  }
}

async function withServer(env, use) {
  const server = await startServer(env);
  try {
    await use(server);
  } finally {
    await server.stop();
  }
}
