// Usage: node node-server.mjs --engine redis|sharded|sharded-static|sharded-private|streams|postgres --url URL
//        [--emitter no] [--recovery yes]
// An official server as one of a cluster, which does what its clients tell it (see README.md). --emitter is for
// servers that may be deaf to emitters; official ones never are. --recovery gives lost clients their sockets back.
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { Server } from "socket.io";
import { adapters } from "./adapters.mjs";
import { control } from "./control.mjs";

const NAMESPACES = ["/", "/named", "/beside"];
const DYNAMIC = /^\/dynamic-\d+$/;
const EXIT_PATIENCE = 2_000;

const { values: options } = parseArgs({
  options: {
    engine: { type: "string" },
    url: { type: "string" },
    emitter: { type: "string", default: "yes" },
    recovery: { type: "string", default: "no" },
  },
});
const name = `node-${process.pid}`;

const adapter = await adapters[options.engine](options.url, { name });
const { settled } = adapter;
const http = createServer();
const recovery = options.recovery === "yes" ? { connectionStateRecovery: { maxDisconnectionDuration: 120_000 } } : {};
const io = new Server(http, { adapter: adapter.create, ...recovery });
for (const namespace of NAMESPACES) control(io.of(namespace), { name, settled });
// Children of a pattern are made when the first client comes, and never go.
io.of(DYNAMIC);
io.on("new_namespace", (namespace) => DYNAMIC.test(namespace.name) && control(namespace, { name, settled }));
await adapter.ready(NAMESPACES.map((namespace) => io.of(namespace)));

http.listen(0, "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${http.address().port}`);
});
process.once("SIGTERM", async () => {
  // The other servers are told by some adapters; none of them says when that is done.
  setTimeout(() => process.exit(0), EXIT_PATIENCE).unref();
  await io.close();
  await adapter.close();
  process.exit(0);
});
