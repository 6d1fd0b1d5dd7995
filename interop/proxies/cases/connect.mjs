import assert from "node:assert/strict";
import { ask, happened } from "../bench.mjs";
import { knockAsWebSocket } from "../request.mjs";

export default {
  title: "connect",
  async test(bench) {
    if (bench.mode === "websocket" && !bench.setup.webSocket) return isRefusedAtOnce(bench);

    const socket = await bench.connect();
    assert.equal(await ask(socket, "echo-ack", "hello"), "hello");
    assert.equal(socket.io.engine.transport.name, bench.transport);
    if (bench.setup.webSocketInHttp2) assert.equal(bench.http2.webSockets, bench.mode === "polling" ? 0 : 1);
    if (bench.setup.tls) assert.equal(await bench.http2.takesWebSockets(), bench.setup.webSocketInHttp2);
  },
};

/** The client hears of it, and so does who asks with the least. */
async function isRefusedAtOnce(bench) {
  const [error] = await happened(bench.open(), "connect_error");
  assert.equal(error.message, "websocket error");
  assert.equal((await knockAsWebSocket(bench.front, {})).status, 400);
}
