// Usage: node with-engines.mjs COMMAND [ARG...]
// Starts Redis, PostgreSQL and NATS, runs a command that finds them by REDIS_URL, POSTGRES_URL and NATS_URL, and stops
// them. Exit status: that of the command.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Nats, Postgres, Redis } from "./services.mjs";

const [program, ...args] = process.argv.slice(2);
if (program === undefined) {
  console.error("usage: node with-engines.mjs COMMAND [ARG...]");
  process.exit(2);
}
const started = await Promise.all([Redis, Nats, Postgres].map((service) => service.start()));
const [redis, nats, postgres] = started;
const env = {
  ...process.env,
  REDIS_URL: redis.url,
  NATS_URL: nats.url,
  POSTGRES_URL: await postgres.database(),
};
const command = spawn(program, args, { env, stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => command.kill(signal));
const [code, signal] = await once(command, "exit");
await Promise.all(started.map((service) => service.stop()));
process.exit(signal ? 1 : code);
