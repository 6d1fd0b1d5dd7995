// Prints the versions of what server.mjs runs on, on one line.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const names = ["socket.io", "@socket.io/bun-engine"];
const parts = names.map((name) => `${name} ${require(`./node_modules/${name}/package.json`).version}`);
console.log([...parts, `Bun ${Bun.version}`].join(", "));
