import assert from "node:assert/strict";
import { ask, fence, gather, held, record } from "../support/client.mjs";
import { suite } from "../support/suite.mjs";
import { grown, next, PATIENCE, range } from "../support/wait.mjs";

suite("acks", ({ eachMode }) => {
  // First, so that the others run while it waits.
  eachMode("an answer in time ends the server's wait", async (bench) => {
    const socket = await bench.connect();
    socket.once("question-silent", (answer) => answer("here"));
    const answered = next(socket, "answer");
    const log = record(socket);
    // Time enough for an answer on a machine that stalls.
    socket.emit("ask-silent", 5_000);
    assert.deepEqual(await answered, ["here"]);
    // Outlives the server's own deadline, so that a timer left behind would show.
    await ask(socket, "wait", 5_100, "");
    assert.deepEqual(log.map(([event]) => event), ["question-silent", "answer"]);
  });

  eachMode("the server answers with any number of values", async (bench) => {
    const socket = await bench.connect();
    for (const args of [[], [1], [null, { a: ["b"] }, "c", 2.5]]) {
      assert.deepEqual(await answerTo(socket, "echo-ack", ...args), args);
    }
  });

  eachMode("the client answers with any number of values", async (bench) => {
    const socket = await bench.connect();
    for (const args of [[], ["x"], [null, { y: 1 }, [true]]]) {
      socket.once("question", (...question) => question.at(-1)(...question.slice(0, -1), "!"));
      const answer = next(socket, "answer");
      socket.emit("ask", ...args);
      assert.deepEqual(await answer, [...args, "!"]);
    }
  });

  eachMode("1000 in flight are each answered once, with their own value", async (bench) => {
    const socket = await bench.connect();
    const counts = new Array(1000).fill(0);
    const answers = range(1000).map(
      (i) =>
        new Promise((resolve) => {
          socket.emit("echo-ack", i, (value) => {
            counts[i]++;
            resolve(value);
          });
        }),
    );
    assert.deepEqual(await Promise.all(answers), range(1000));
    await fence(socket);
    assert.ok(counts.every((count) => count === 1));
  });

  eachMode("300 questions in flight are each answered with their own value", async (bench) => {
    const socket = await bench.connect();
    socket.on("question", (value, answer) => answer(value * 2));
    const answers = gather(socket, "answer");
    for (const i of range(300)) socket.emit("ask", i);
    await grown(answers, 300, socket, "answer");
    // Handlers that wait, each for its own answer, go on in whichever order they are woken.
    assert.deepEqual(answers.toSorted((a, b) => a - b), range(300).map((i) => i * 2));
  });

  eachMode("questions and acks of both sides do not mix up their numbers", async (bench) => {
    const socket = await bench.connect();
    socket.on("question", async (value, answer) => answer(await ask(socket, "echo-ack", `inner ${value}`)));
    const answers = [];
    socket.on("answer", (value) => answers.push(value));
    const own = await Promise.all(
      range(50).map((i) => {
        socket.emit("ask", i);
        return ask(socket, "echo-ack", i);
      }),
    );
    assert.deepEqual(own, range(50));
    await grown(answers, 50, socket, "answer");
    assert.deepEqual(answers.toSorted(byNumber), range(50).map((i) => `inner ${i}`));
  });

  eachMode("a handler that waits holds up nobody else", async (bench) => {
    const socket = await bench.connect();
    const { answer, release } = await held(socket);
    assert.equal(await ask(socket, "echo-ack", "early"), "early");
    release("late");
    assert.equal(await answer, "late");
  });

  eachMode("answers come as handlers finish, each to its own question", async (bench) => {
    const socket = await bench.connect();
    const answers = await Promise.all(range(100).map((i) => ask(socket, "wait", (i * 37) % 100, i)));
    assert.deepEqual(answers, range(100));
  });

  eachMode("the client gives up on an answer that never comes", async (bench) => {
    const socket = await bench.connect();
    await assert.rejects(socket.timeout(100).emitWithAck("nobody"), { message: "operation has timed out" });
    assert.equal(await ask(socket, "echo-ack", 1), 1);
  });

  eachMode("an answer that comes too late is dropped", async (bench) => {
    const socket = await bench.connect();
    const outcomes = [];
    const asked = next(socket, "poll");
    const gaveUp = new Promise((resolve) => {
      socket.timeout(50).emit("ask-room", socket.id, 60_000, (error) => {
        outcomes.push(error?.message);
        resolve();
      });
    });
    const [release] = await asked;
    await gaveUp;
    release("late");
    await fence(socket);
    await fence(socket);
    assert.deepEqual(outcomes, ["operation has timed out"]);
  });

  eachMode("the server gives up on a client that does not answer", async (bench) => {
    const socket = await bench.connect();
    const failed = next(socket, "answer-error");
    socket.emit("ask-silent", 100);
    assert.deepEqual(await failed, ["timeout"]);
  });

  eachMode("an answer after the server gave up is dropped", async (bench) => {
    const socket = await bench.connect();
    const asked = next(socket, "question-silent");
    const failed = next(socket, "answer-error");
    socket.emit("ask-silent", 100);
    const [answer] = await asked;
    await failed;
    const log = record(socket);
    answer("late");
    await fence(socket);
    assert.deepEqual(log, []);
  });

  eachMode("a client that goes away gets an error for what is in flight", async (bench) => {
    const socket = await bench.connect();
    const pending = socket.timeout(PATIENCE).emitWithAck("wait", PATIENCE, "never");
    const lost = assert.rejects(pending, { message: "socket has been disconnected" });
    await fence(socket);
    socket.disconnect();
    await lost;
  });

  eachMode("retries: each event of the queue is handled once and in order", async (bench) => {
    const socket = await bench.connect({ retries: 3, ackTimeout: PATIENCE });
    const answers = [];
    const queued = () => new Promise((resolve) => {
      socket.emit("count", "queue", (error, value) => resolve(answers.push(error ?? value)));
    });
    await Promise.all(range(20).map(queued));
    assert.deepEqual(answers, range(20).map((i) => i + 1));
  });
}, { concurrency: 4 });

function answerTo(socket, event, ...args) {
  return new Promise((resolve) => socket.emit(event, ...args, (...answer) => resolve(answer)));
}

const byNumber = (one, two) => Number(one.split(" ")[1]) - Number(two.split(" ")[1]);
