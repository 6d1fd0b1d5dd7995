// A server like any other for the suite: three nodes (NODE_SERVER) behind nginx, which sends each request to the next of
// them. They are joined by the Redis of CLUSTER_URL, each such server under a key of its own.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { freePort } from "../../proxies/ports.mjs";
import { directory, find, Program, remove } from "../../proxies/process.mjs";

const NODES = 3;
const CONF = fileURLToPath(new URL("nginx.conf", import.meta.url));
const TEMPORARY = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

const at = directory();
const port = Number(process.env.PORT ?? 0) || (await freePort());
const key = `no-sticky-${process.pid}-${port}`;
const nodes = await Promise.all(Array.from({ length: NODES }, startNode));
const proxy = await startProxy(nodes);

process.once("SIGTERM", async () => {
  // The nodes first: their clients are told through the proxy.
  for (const { child } of nodes) child.kill("SIGTERM");
  const codes = await Promise.all(nodes.map(({ exit }) => exit));
  await proxy.stop();
  remove(at);
  process.exit(codes.every(([code]) => code === 0) ? 0 : 1);
});
console.log(`listening on http://127.0.0.1:${port}`);

/** A node dies with this process, however that ends. */
async function startNode() {
  const command = ["--pdeathsig", "KILL", ...process.env.NODE_SERVER.split(" ")];
  const child = spawn(find("setpriv"), command, {
    env: { ...process.env, PORT: "0", CLUSTER_KEY: key },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exit = once(child, "exit");
  const lines = createInterface({ input: child.stdout });
  const died = exit.then(([code]) => {
    throw new Error(`a node ended with ${code} before it listened`);
  });
  died.catch(() => {});
  const [line] = await Promise.race([once(lines, "line"), died]);
  return { child, exit, port: Number(line.match(/:(\d+)$/)[1]) };
}

async function startProxy(behind) {
  const log = join(at, "error.log");
  const conf = join(at, "nginx.conf");
  // Debian's nginx would write into directories of the system.
  const temporary = TEMPORARY.map((name) => `${name}_temp_path ${join(at, name)};`).join("\n    ");
  const changes = new Map([
    ["/run/nginx.pid", join(at, "nginx.pid")],
    ["/var/log/nginx/error.log", log],
    ["listen 80;", `listen 127.0.0.1:${port};`],
    ["access_log off;", `access_log off;\n    ${temporary}`],
    ...behind.map((node, i) => [`127.0.0.1:${3000 + i}`, `127.0.0.1:${node.port}`]),
  ]);
  let text = readFileSync(CONF, "utf8");
  for (const [what, by] of changes) text = text.replace(what, by);
  writeFileSync(conf, text);
  const program = new Program("nginx", ["-p", at, "-e", log, "-c", conf, "-g", "daemon off;"]);
  await program.listens(port);
  return program;
}
