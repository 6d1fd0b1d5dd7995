// The official client and its parts, as interop/node has them.
import { createRequire } from "node:module";

const require = createRequire(new URL("../node/package.json", import.meta.url));

export const { io } = require("socket.io-client");
export const { Fetch, NodeWebSocket } = require("engine.io-client");
export const { WebSocket } = require("ws");
