// Starts a server of this directory, and ends it the way that its starter may: by the end of its input.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { within } from "./within.mjs";

const HOME = fileURLToPath(new URL("..", import.meta.url));

const running = new Set();
// Whatever ends this process, no server outlives it.
process.on("exit", endAll);
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/** Ends what a check has left, which has failed then. */
export function endAll() {
  for (const child of running) child.kill("SIGKILL");
}

/** A server that listens: what it said of itself, and `end`, which gives its exit code. */
export async function start(...command) {
  const child = spawn(command[0], command.slice(1), { cwd: HOME, stdio: ["pipe", "pipe", "inherit"] });
  running.add(child);
  const exit = once(child, "exit").then(([code]) => {
    running.delete(child);
    return code;
  });
  const lines = createInterface({ input: child.stdout });
  const next = () => once(lines, "line").then(([line]) => JSON.parse(line));
  const died = exit.then((code) => {
    throw new Error(`${command.join(" ")} ended with ${code} before it listened`);
  });
  died.catch(() => {});
  const said = await within(`${command.join(" ")} to listen`, Promise.race([next(), died]));
  const end = () => {
    child.stdin.end();
    return within("the server to end", exit);
  };
  const terminate = () => {
    child.kill("SIGTERM");
    return within("the server to end", exit);
  };
  /** Says a word to it, and gives its answer. */
  const tell = (word) => {
    const answer = next();
    child.stdin.write(`${word}\n`);
    return within(`the answer to ${word}`, answer);
  };
  return { ...said, end, terminate, tell };
}

/** The exit code of a command that is not expected to listen. */
export async function exitCode(...command) {
  const child = spawn(command[0], command.slice(1), { cwd: HOME, stdio: ["pipe", "ignore", "ignore"] });
  running.add(child);
  const [code] = await within(`${command.join(" ")} to end`, once(child, "exit"));
  running.delete(child);
  return code;
}
