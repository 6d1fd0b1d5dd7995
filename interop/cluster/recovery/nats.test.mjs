// Clients that are lost at one server and come back at another, over a log in JetStream: what only we have.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { PATIENCE, within } from "../../node/support/wait.mjs";
import { Engine } from "../chaos/engine.mjs";
import { until } from "./client.mjs";
import { Pair, recovers } from "./logs.mjs";

/** A client of NATS that says something and hears all. */
class Operator {
  #heard = "";

  static async connect(url) {
    const operator = new Operator();
    const { hostname: host, port } = new URL(url);
    operator.socket = connect({ host, port }).setEncoding("latin1");
    operator.socket.on("data", (text) => {
      operator.#heard += text;
      if (text.includes("PING\r\n")) operator.socket.write("PONG\r\n");
    });
    await once(operator.socket, "connect");
    operator.socket.write('CONNECT {"headers":true,"verbose":false,"pedantic":false}\r\nSUB > 1\r\n');
    return operator;
  }

  get heard() {
    return this.#heard;
  }

  /** What JetStream answers to a request. */
  async asks(what, request = "") {
    const inbox = `operator.${Math.random()}`;
    this.socket.write(`PUB $JS.API.${what} ${inbox} ${request.length}\r\n${request}\r\n`);
    const answer = new RegExp(`MSG ${inbox} 1 \\d+\r\n(.*)\r\n`);
    await within(PATIENCE, `JetStream to answer ${what}`, until(() => answer.test(this.#heard)));
    return JSON.parse(answer.exec(this.#heard)[1]);
  }
}

/** What NATS takes at most, here. */
const PAYLOAD_MAX = 300_000;

let engine;
const pair = new Pair("nats-log", async () => {
  engine = await Engine.open("nats-log", true, `max_payload: ${PAYLOAD_MAX}`);
  return { url: engine.url(engine.port), stop: () => engine.stop() };
});
let operator;
before(async () => {
  await pair.begin();
  operator = await Operator.connect(pair.service.url);
});
after(async () => {
  operator.socket.destroy();
  await pair.end();
});

recovers(pair);

/** Until two servers hear of each other again. */
async function isJoined(speaker, hearer, event) {
  const isHeard = async () => {
    await speaker.do("emit", { event, args: [] });
    return hearer.heard(event).length > 0;
  };
  await within(PATIENCE, "events to go on", until(isHeard));
}

// The header counts, too: NATS ends the connection of whoever says more (nats.py 888).
test("an event that is almost too large takes no connection along", async () => {
  const [speaker, hearer] = await Promise.all(pair.servers.map((server) => pair.connect(server)));
  const sizes = Array.from({ length: 120 }, (_, i) => PAYLOAD_MAX - 5 * i);
  for (const size of sizes) {
    await speaker.do("emit", { event: "large", args: [size, "x".repeat(size)] });
    await speaker.do("emit", { event: "small", args: [size] });
  }
  await hearer.hears("small", sizes.length);
  assert.deepEqual(hearer.heard("small").map(([size]) => size), sizes);
  const large = hearer.heard("large").map(([size]) => size);
  assert.ok(large.length > 0 && large.length < sizes.length, `${large.length} of ${sizes.length}`);
  assert.deepEqual(large, sizes.slice(-large.length));
});

test("more than is asked for at once comes whole and in order", async () => {
  const [speaker, hearer] = await Promise.all(pair.servers.map((server) => pair.connect(server)));
  const said = [];
  for (let i = 0; i < 120; i += 1) said.push(speaker.do("emit", { event: "much", args: [i, "x".repeat(250_000)] }));
  await Promise.all(said);
  await hearer.hears("much", said.length);
  assert.deepEqual(hearer.heard("much").map(([i]) => i), [...said.keys()]);
  await speaker.do("emit", { event: "behind", args: [] });
  await hearer.hears("behind");
});

// Who stands still for long is forgotten, and asked for ever what was never answered (nats.go 1900, nats.java 777).
test("a node that NATS has forgotten meanwhile reads on", async () => {
  const [speaker, hearer] = await Promise.all(pair.servers.map((server) => pair.connect(server)));
  await speaker.do("emit", { event: "count", args: [0] });
  await hearer.hears("count");
  const consumers = async () => (await operator.asks("CONSUMER.NAMES.socket-io_events", "{}")).consumers ?? [];
  await pair.servers[1].freeze();
  const before = await consumers();
  // Nobody asks any more then, so nobody is told.
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  for (const name of before) await operator.asks(`CONSUMER.DELETE.socket-io_events.${name}`);
  await speaker.do("emit", { event: "count", args: [1] });
  pair.servers[1].thaw();
  await within(PATIENCE, "what was said meanwhile", until(() => hearer.heard("count").length === 2));
  await pair.isWhole();
});

// Consumers are gone then (nats.go 1370, kyma 13609), and servers were heard of no more (redis-streams-adapter 32).
test("a NATS that is killed and comes back has all that it had", async () => {
  const [speaker, stays] = await Promise.all(pair.servers.map((server) => pair.connect(server)));
  const lost = await pair.lostClient(speaker);
  await speaker.do("emit", { event: "before", args: [] });
  await stays.hears("before");
  await engine.kill();
  await engine.start();
  // Nothing is said until then, which would be a gap.
  const isAnswered = async () => (await speaker.do("fetch", {})).some(({ id }) => id === stays.id);
  await within(PATIENCE, "servers to answer each other", until(isAnswered));
  await lost.comesBack(pair.servers[1]);
  assert.equal(lost.socket.recovered, true);
  await lost.hears("before");
  operator.socket.destroy();
  operator = await Operator.connect(pair.service.url);
});

// Its numbers began anew where it was empty (nats-server 2068, 2753, 3284), or after the power failed (3996, 5412).
test("a NATS that is killed while its log is empty loses nobody's events without a word", async () => {
  const [speaker, stays] = await Promise.all(pair.servers.map((server) => pair.connect(server)));
  const lost = await pair.lostClient(speaker);
  await speaker.do("emit", { event: "removed", args: [] });
  await stays.hears("removed");
  await operator.asks("STREAM.PURGE.socket-io_events");
  await engine.kill();
  await engine.start();
  await isJoined(speaker, stays, "again");
  await lost.comesBack(pair.servers[1]);
  if (lost.socket.recovered) await lost.hears("removed");
  await pair.isWhole();
  operator.socket.destroy();
  operator = await Operator.connect(pair.service.url);
});

test("what a node without the log has said is in it all the same", async () => {
  const plain = await pair.start("nats");
  const [speaker, other] = await Promise.all([pair.connect(pair.servers[1]), pair.connect(plain)]);
  const lost = await pair.lostClient(speaker);
  await other.do("emit", { event: "by another", args: [1] });
  await speaker.hears("by another");
  await speaker.do("emit", { event: "by another", args: [2] });
  await other.hears("by another", 2);
  await lost.comesBack(pair.servers[1]);
  assert.equal(lost.socket.recovered, true);
  await lost.hears("by another", 2);
  assert.deepEqual(lost.heard("by another").map(([which]) => which), [1, 2]);
  other.close();
  await plain.stop();
});

test("nobody recovers across events that were removed", async () => {
  const speaker = await pair.connect(pair.servers[1]);
  const lost = await pair.lostClient(speaker);
  await speaker.do("emit", { event: "removed", args: [] });
  await speaker.hears("removed");
  const { success } = await operator.asks("STREAM.PURGE.socket-io_events");
  assert.equal(success, true);
  // A server that comes now cannot know what it was.
  const later = await pair.start();
  await lost.comesBack(later);
  assert.equal(lost.socket.recovered, false);
  lost.close();
  await later.stop();
});

test("a log that is deleted is made anew, and nobody recovers across that", async () => {
  const [speaker, stays] = await Promise.all(pair.servers.map((server) => pair.connect(server)));
  const lost = await pair.lostClient(speaker);
  const { success } = await operator.asks("STREAM.DELETE.socket-io_events");
  assert.equal(success, true);
  await isJoined(speaker, stays, "anew");
  await lost.comesBack(pair.servers[1]);
  assert.equal(lost.socket.recovered, false);
  await pair.isWhole();
});

test("no secret lies in the log", async () => {
  const speaker = await pair.connect(pair.servers[1]);
  const kept = async () => {
    const lost = await pair.lostClient(speaker);
    assert.ok(!operator.heard.includes(lost.socket._pid));
    return new RegExp(`socket-io.sessions.*\r\n.*${lost.id}`, "s").test(operator.heard);
  };
  await within(PATIENCE, "a session to be kept", until(kept));
});

test("nothing is left of those who have read what was before", async () => {
  for (let i = 0; i < 3; i += 1) await (await pair.start()).stop();
  const names = await operator.asks("CONSUMER.NAMES.socket-io_events", "{}");
  // Those of the servers that have ended go by themselves.
  assert.ok(names.total <= 2 + 2 * 3 + 3, `${names.total} consumers`);
});
