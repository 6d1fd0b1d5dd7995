import assert from "node:assert/strict";
import { ask, fence, mixed, record } from "../support/client.mjs";
import { suite } from "../support/suite.mjs";
import { next, range } from "../support/wait.mjs";
import { buffered, bytes } from "../support/values.mjs";

const SIZES = [0, 1, 2, 3, 125, 126, 1_024, 65_535, 65_536, 900_000];

suite(
  "binary",
  ({ eachMode }) => {
    for (const size of SIZES) {
      eachMode(`${size} bytes there and back`, async (bench) => {
        const socket = await bench.connect();
        const echoed = next(socket, "echo");
        socket.emit("echo", bytes(size));
        assert.deepEqual(buffered(await echoed), [bytes(size)]);
      });
    }

    eachMode("every kind of buffer counts as bytes", async (bench) => {
      const socket = await bench.connect();
      const echoed = next(socket, "echo");
      const big = bytes(64);
      socket.emit("echo", new Uint8Array([1, 2]), new Uint8Array([3, 4]).buffer, big.subarray(8, 16));
      assert.deepEqual(buffered(await echoed), [Buffer.from([1, 2]), Buffer.from([3, 4]), bytes(64).subarray(8, 16)]);
    });

    eachMode("nested bytes come back in their places", async (bench) => {
      const socket = await bench.connect();
      const value = { a: [bytes(3), { b: bytes(0), c: "text" }], d: null, "e \"f\"": { g: [[bytes(70_000)]] } };
      const echoed = next(socket, "echo");
      socket.emit("echo", "first", value, 3);
      assert.deepEqual(buffered(await echoed), ["first", value, 3]);
    });

    eachMode("ten attachments keep their order", async (bench) => {
      const socket = await bench.connect();
      const parts = range(10).map((i) => bytes(i * 100 + 1));
      const echoed = next(socket, "echo");
      socket.emit("echo", ...parts);
      assert.deepEqual(buffered(await echoed), parts);
    });

    eachMode("one buffer twice in an event arrives twice", async (bench) => {
      const socket = await bench.connect();
      const part = bytes(9);
      const echoed = next(socket, "echo");
      socket.emit("echo", part, { again: part });
      assert.deepEqual(buffered(await echoed), [part, { again: part }]);
    });

    eachMode("acks carry bytes both ways", async (bench) => {
      const socket = await bench.connect();
      const value = { list: [bytes(5), "x", bytes(70_000)] };
      assert.deepEqual(buffered(await ask(socket, "echo-ack", value)), value);
      assert.deepEqual(buffered(await ask(socket, "echo-ack", bytes(0))), bytes(0));
    });

    eachMode("questions of the server carry bytes both ways", async (bench) => {
      const socket = await bench.connect();
      let asked;
      socket.once("question", (...args) => {
        asked = args.slice(0, -1);
        args.at(-1)({ reply: [bytes(7)] }, bytes(1));
      });
      const answer = next(socket, "answer");
      socket.emit("ask", bytes(4), { deep: bytes(66_000) });
      assert.deepEqual(buffered(await answer), [{ reply: [bytes(7)] }, bytes(1)]);
      assert.deepEqual(buffered(asked), [bytes(4), { deep: bytes(66_000) }]);
    });

    eachMode("other namespaces carry bytes too", async (bench) => {
      const [root, a] = await bench.multiplex("/", "/a");
      const answers = await Promise.all([ask(a, "echo-ack", bytes(10)), ask(root, "echo-ack", bytes(20))]);
      assert.deepEqual(answers.map(buffered), [bytes(10), bytes(20)]);
    });

    eachMode("a broadcast with bytes reaches every kind of client", async (bench) => {
      const sender = await bench.connect();
      const crowd = await bench.connectAll(9, (i) => ({ mode: mixed(i) }));
      const logs = crowd.map(record);
      await ask(sender, "say-all", "blob", bytes(70_000), { deep: [bytes(2)] });
      await fence(...crowd);
      for (const log of logs) assert.deepEqual(buffered(log), [["blob", bytes(70_000), { deep: [bytes(2)] }]]);
    });

    eachMode("text and bytes in turn keep their order", async (bench) => {
      const socket = await bench.connect();
      const log = record(socket);
      for (const i of range(200)) socket.emit("echo", i, ...(i % 3 === 0 ? [bytes(i), { i: bytes(1) }] : []));
      await fence(socket);
      const expected = range(200).map((i) => ["echo", i, ...(i % 3 === 0 ? [bytes(i), { i: bytes(1) }] : [])]);
      assert.deepEqual(buffered(log), expected);
    });
  },
  // Polling carries bytes as base64, a third longer: the largest size needs room for that.
  { env: { MAX_PAYLOAD: "4000000" } },
);
