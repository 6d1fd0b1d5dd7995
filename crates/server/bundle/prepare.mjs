// Puts the client's files into dist/, as they are and compressed, so that neither the build nor the
// server has to compress anything. Run by npm after an install; build.rs takes it from there.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const NAMES = ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"];

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const client = join(here, "node_modules", "socket.io-client");
const dist = join(here, "dist");

function brotli(bytes) {
  return brotliCompressSync(bytes, {
    params: {
      [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    },
  });
}

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
for (const name of NAMES.flatMap((name) => [name, `${name}.map`])) {
  const bytes = readFileSync(join(client, "dist", name));
  writeFileSync(join(dist, name), bytes);
  writeFileSync(join(dist, `${name}.br`), brotli(bytes));
  writeFileSync(join(dist, `${name}.gz`), gzipSync(bytes, { level: 9 }));
}
writeFileSync(join(dist, "VERSION"), require(join(client, "package.json")).version);
