// A thread of its own that keeps a deep backlog of events at the server until told to stop.
// It says "flooding" when the backlog stands, and reports { outstanding } when it stops
// and { sent, counted } when the last event has been handled.
import { parentPort, workerData } from "node:worker_threads";
import { io } from "socket.io-client";

const BACKLOG = 20_000;
const STRIDE = 1_000;
const { url, transports, atLeast } = workerData;

let sent = 0;
let handled = 0;
let stopped = false;
let finishing = false;
const socket = io(url, { transports, forceNew: true, reconnection: false });
socket.once("connect", pump);
parentPort.once("message", () => {
  stopped = true;
  parentPort.postMessage({ outstanding: sent - handled });
  pump();
});

// The backlog is refilled at once whenever some of it is done: the flood has no gaps.
function pump() {
  const first = sent === 0;
  while ((!stopped || sent < atLeast) && sent - handled < BACKLOG) send();
  if (first) parentPort.postMessage("flooding");
  if (stopped && sent >= atLeast && handled === sent) finish();
}

function send() {
  for (let i = 0; i < STRIDE; i++) socket.emit("count", "flood");
  sent += STRIDE;
  const mark = sent;
  socket.emit("echo-ack", mark, (value) => {
    handled = value;
    pump();
  });
}

function finish() {
  if (finishing) return;
  finishing = true;
  socket.emit("count", "flood", (counted) => {
    parentPort.postMessage({ sent: sent + 1, counted });
    socket.disconnect();
    parentPort.close();
  });
}
