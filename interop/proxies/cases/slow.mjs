import assert from "node:assert/strict";
import { ask, losses } from "../bench.mjs";
import { noWebSocket } from "../missing.mjs";
import { SlowLine } from "../slow-line.mjs";

const EVENTS = 12;
const TEXT = "slow ".repeat(50_000);

/** 3 MB each way on a slow line: all of it, in order, and heartbeats meanwhile. */
export default {
  title: "slow line",
  missing: noWebSocket,
  async test(bench) {
    const line = bench.keep(await SlowLine.to(bench.front));
    const socket = await bench.connect({ at: line });
    await ask(socket, "join", bench.room);
    const heard = [];
    socket.on("piece", (i, text) => heard.push(text === TEXT ? i : `damaged ${i}`));
    const sent = Array.from({ length: EVENTS }, (_, i) => ask(socket, "say", bench.room, "piece", i, TEXT));
    assert.deepEqual(await Promise.all(sent), sent.map(() => true));
    assert.deepEqual(heard, sent.map((_, i) => i));
    assert.deepEqual(losses(socket), []);
  },
};
