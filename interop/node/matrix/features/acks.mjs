import assert from "node:assert/strict";
import { ask, askAll, once, PATIENCE } from "../bench.mjs";
import { range } from "../../support/wait.mjs";

export default {
  title: "acks",

  async test(bench) {
    const socket = await bench.connect();
    assert.deepEqual(await askAll(socket, "echo-ack", 1, "two", { three: [3] }, null), [1, "two", { three: [3] }, null]);
    assert.deepEqual(await askAll(socket, "echo-ack"), []);

    // Many at once, and the first is answered last: the server asks back, and is answered then.
    const room = bench.room("late");
    await ask(socket, "join", room);
    const asked = once(socket, "poll");
    let answered = 0;
    const late = ask(socket, "ask-room", room, PATIENCE).then(({ answers }) => [...answers, answered]);
    const [release] = await asked;
    const count = async (i) => {
      assert.equal(await ask(socket, "echo-ack", i), i);
      answered++;
    };
    await Promise.all(range(50).map(count));
    release("late");
    assert.deepEqual(await late, ["late", 50]);

    await expectAnswers(socket);
    await expectTimeout(socket);
  },
};

/** The server asks, and the client answers. */
async function expectAnswers(socket) {
  socket.on("question", (n, answer) => answer(n, { twice: 2 * n }));
  for (const n of range(3)) {
    const answer = once(socket, "answer");
    socket.emit("ask", n);
    assert.deepEqual(await answer, [n, { twice: 2 * n }]);
  }
}

async function expectTimeout(socket) {
  const asked = once(socket, "question-silent");
  const missed = once(socket, "answer-error");
  socket.emit("ask-silent", 50);
  const [answer] = await asked;
  assert.deepEqual(await missed, ["timeout"]);
  answer("too late");
  assert.equal(await ask(socket, "echo-ack", "alive"), "alive");
}
