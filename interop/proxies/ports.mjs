// Ports for programs that have to be told one.
import { randomInt } from "node:crypto";
import { createServer } from "node:net";

// Below the range from which systems usually take the local ports of clients.
const [FIRST, BEHIND_LAST] = [10_000, 32_000];

const given = new Set();

/**
 * A free port, never the same twice. It is drawn by lot, since a port looks free until its program
 * listens, and another run may be looking at the same time.
 */
export async function freePort() {
  for (;;) {
    const port = randomInt(FIRST, BEHIND_LAST);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

function isFree(port) {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}
