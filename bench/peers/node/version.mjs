// Prints the versions of what server.mjs runs on, on one line.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
// ws is a dependency of engine.io: take the one that engine.io takes.
const engine = createRequire(createRequire(require.resolve("socket.io")).resolve("engine.io"));

const parts = [`socket.io ${require("socket.io/package.json").version}`, `ws ${engine("ws/package.json").version}`];
if (!process.env.WS_NO_BUFFER_UTIL) parts.push(`bufferutil ${require("bufferutil/package.json").version}`);
console.log([...parts, `Node ${process.versions.node}`].join(", "));
