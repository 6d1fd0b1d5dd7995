// Usage: SERVER=fixture node no-sticky/run.mjs [ARG...]
// Runs the suite against three nodes without sticky sessions. Arguments are those of node --test, such as a file.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Redis } from "../../cluster/services.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const HOME = dirname(HERE);

const redis = await Redis.start();
const files = readdirSync(join(HOME, "test")).filter((name) => name.endsWith(".test.mjs"));
const own = process.argv.slice(2);
const all = own.some((arg) => arg.endsWith(".mjs")) ? own : [...own, ...files.map((name) => join("test", name))];
const tests = spawn(process.execPath, ["--test", "--test-timeout=180000", "--test-concurrency=1", ...all], {
  cwd: HOME,
  env: {
    ...process.env,
    CLUSTER_URL: redis.url,
    NODE_SERVER: process.env.SERVER,
    SERVER: `${process.execPath} ${join(HERE, "server.mjs")}`,
    LEFT_OUT: join(HERE, "left-out.mjs"),
  },
  stdio: "inherit",
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => tests.kill(signal));
const [code] = await once(tests, "exit");
await redis.stop();
process.exit(code ?? 1);
