// Prints the versions of what server.mjs runs on, on one line; with `client`, of what client.mjs does.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const [name, engineName] =
  process.argv[2] === "client" ? ["socket.io-client", "engine.io-client"] : ["socket.io", "engine.io"];
// ws is a dependency of the engine: take the one that the engine takes.
const engine = createRequire(createRequire(require.resolve(name)).resolve(engineName));

const parts = [`${name} ${require(`${name}/package.json`).version}`, `ws ${engine("ws/package.json").version}`];
if (!process.env.WS_NO_BUFFER_UTIL) parts.push(`bufferutil ${require("bufferutil/package.json").version}`);
console.log([...parts, `Node ${process.versions.node}`].join(", "));
