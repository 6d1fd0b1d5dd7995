import assert from "node:assert/strict";
import { ask, happened } from "../bench.mjs";
import { noWebSocket } from "../missing.mjs";

const MANY = 200;

export default {
  title: "events",
  missing: noWebSocket,
  async test(bench) {
    const socket = await bench.connect();
    const echo = happened(socket, "echo");
    socket.emit("echo", "schön 雪", { deep: [1, null] });
    assert.deepEqual(await echo, ["schön 雪", { deep: [1, null] }]);

    // An ack each way.
    socket.once("question", (value, answer) => answer(value + 1, "yes"));
    const answer = happened(socket, "answer");
    socket.emit("ask", 41);
    assert.deepEqual(await answer, [42, "yes"]);

    // In order, also through an upgrade that has just ended.
    const ticks = [];
    socket.on("tick", (i) => ticks.push(i));
    const expected = Array.from({ length: MANY }, (_, i) => i);
    const echoes = Promise.all(expected.map((i) => ask(socket, "echo-ack", i)));
    const [answers, sent] = await Promise.all([echoes, ask(socket, "burst", MANY)]);
    assert.equal(sent, MANY);
    assert.deepEqual(ticks, expected);
    assert.deepEqual(answers, expected);
  },
};
