// The official client on Node, over WebSocket, with default options otherwise.
// Usage: node client.mjs CASE URL SECONDS; bench/src/clients/contract.rs says what is asked of it.
import { readSync, writeSync } from "node:fs";
import { io } from "socket.io-client";

const [, , name, url, seconds] = process.argv;
const time = Number(seconds) * 1000;
const [kind, size] = name.split("-");

const TEXTS = Array.from({ length: 90 }, (_, at) => `a message of forty-four characters, number ${10 + at}`);

// Idle clients that connect at once.
const IDLE_AT_ONCE = 50;

// Writes a line and waits for one; nothing is under way meanwhile.
function say(what) {
  writeSync(1, JSON.stringify(what) + "\n");
  readSync(0, Buffer.alloc(1));
}

function fail(why) {
  console.error(why);
  process.exit(1);
}

function connect() {
  return new Promise((resolve) => {
    const socket = io(url, { transports: ["websocket"], forceNew: true, reconnection: false });
    socket.on("connect", () => resolve(socket));
    socket.on("connect_error", fail);
  });
}

// Each of these tells how much was done.
function call(socket, inFlight, time) {
  return new Promise((resolve) => {
    const end = performance.now() + time;
    let sent = 0;
    let done = 0;
    const next = () => {
      const text = TEXTS[sent % TEXTS.length];
      sent += 1;
      socket.emit("echo", text, (answer) => {
        if (answer !== text) fail(`${text} was answered with ${answer}`);
        done += 1;
        if (performance.now() < end) next();
        else if (done === sent) resolve(done);
      });
    };
    while (sent < inFlight) next();
  });
}

function receive(socket, wish) {
  return new Promise((resolve) => {
    let come = 0;
    socket.on("said", (text) => {
      if (text !== TEXTS[come % TEXTS.length]) fail(`unexpected behind ${come}: ${text}`);
      come += 1;
    });
    socket.once("done", (count) => {
      if (count !== come) fail(`${come} came, and the server says ${count}`);
      socket.off("said");
      resolve(come);
    });
    socket.emit(...wish);
  });
}

async function comeAndGo(time) {
  const end = performance.now() + time;
  let done = 0;
  for (; performance.now() < end; done += 1) {
    (await connect()).disconnect();
  }
  return done;
}

async function measure(warmUp, work) {
  await warmUp();
  say({ ready: true });
  const began = performance.now();
  const done = await work();
  say({ done, seconds: (performance.now() - began) / 1000 });
}

if (kind === "call") {
  const socket = await connect();
  const calls = (time) => call(socket, Number(size), time);
  await measure(() => calls(time / 2), () => calls(time));
} else if (kind === "receive") {
  const socket = await connect();
  const wish = (time) => (size === "flood" ? ["flood", time] : ["pace", Number(size), time]);
  await measure(() => receive(socket, wish(time / 2)), () => receive(socket, wish(time)));
} else if (kind === "connect") {
  await measure(() => comeAndGo(time / 2), () => comeAndGo(time));
} else if (kind === "idle") {
  const all = [];
  await measure(
    async () => all.push(await connect()),
    async () => {
      const count = Number(size) + 1;
      while (all.length < count) {
        const some = Math.min(IDLE_AT_ONCE, count - all.length);
        all.push(...(await Promise.all(Array.from({ length: some }, connect))));
      }
      return all.length - 1;
    },
  );
} else {
  fail(`there is no case ${name}`);
}
process.exit(0);
