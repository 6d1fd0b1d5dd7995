import assert from "node:assert/strict";
import { Worker } from "node:worker_threads";
import { ask, modes } from "../support/client.mjs";
import { suite } from "../support/suite.mjs";
import { next, range, within } from "../support/wait.mjs";

const FLOOD = 50_000;
// Generous: it stands for "not after the flood", which has no end before the other is served.
const PATIENCE = 20_000;

suite("flood", ({ eachMode }) => {
  for (const flooding of modes.slice(0, 2)) {
    eachMode(`a ${flooding.name} flood does not starve another client`, async (bench) => {
      const other = await bench.connect();
      const flood = startFlood(bench, flooding);
      await flood.begun;
      await within(PATIENCE, "50 answers during the flood", fiftyAnswers(other));
      const { outstanding, finished } = await flood.stop();
      assert.ok(outstanding > 0, "the flood was over before the answers were there");
      const { sent, counted } = await finished;
      assert.ok(sent > FLOOD);
      assert.equal(counted, sent);
    });
  }

  eachMode("a flood does not starve the flooder's own answers", async (bench) => {
    const socket = await bench.connect();
    for (let i = 0; i < 20_000; i++) socket.emit("count", "own");
    assert.equal(await ask(socket, "count", "own"), 20_001);
  });
});

async function fiftyAnswers(socket) {
  for (const i of range(50)) assert.equal(await socket.timeout(PATIENCE).emitWithAck("echo-ack", i), i);
}

function startFlood(bench, { transports }) {
  const workerData = { url: bench.server.url, transports, atLeast: FLOOD };
  const worker = new Worker(new URL("../support/flooder.mjs", import.meta.url), { workerData });
  bench.keep({ close: () => worker.terminate() });
  const report = (accept) => next(worker, "message", { accept, patience: PATIENCE }).then(([message]) => message);
  const begun = report((message) => message === "flooding");
  // Listens for the end from the moment of the stop on: it may follow at once.
  const stop = async () => {
    const finished = report((message) => message.counted !== undefined);
    const stopped = report((message) => message.outstanding !== undefined);
    worker.postMessage("stop");
    return { ...(await stopped), finished };
  };
  return { begun, stop };
}
