// Clients that are lost at one server and come back at another, over a log in JetStream: what only we have.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { PATIENCE, within } from "../../node/support/wait.mjs";
import { Nats } from "../services.mjs";
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

const pair = new Pair("nats-log", () => Nats.start());
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

test("what a node without the log has said is in it all the same", async () => {
  const plain = await pair.start("nats");
  const [speaker, other] = await Promise.all([pair.connect(pair.servers[1]), pair.connect(plain)]);
  const lost = await pair.lostClient(speaker);
  await other.do("emit", { event: "by another", args: [1] });
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
  const isHeard = async () => {
    await speaker.do("emit", { event: "anew", args: [] });
    return stays.heard("anew").length > 0;
  };
  await within(PATIENCE, "events to go on", until(isHeard));
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
