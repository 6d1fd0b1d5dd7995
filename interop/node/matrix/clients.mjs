// The generations of the official client, and what each of them can do.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

// `msgpack` is the parser that fits, `auth` where a client says who it is.
const OLD = { msgpack: "msgpack-2", auth: "query", protocol: 3, volatile: false, retries: false, recovery: false };
const THREE = { msgpack: "msgpack-3", auth: "payload", protocol: 4, volatile: true, retries: false, recovery: false };
const NEW = { ...THREE, retries: true, recovery: true };

export const clients = [
  generation("2.5", OLD),
  generation("3.1", THREE),
  generation("4.0", THREE),
  generation("4.4", THREE),
  generation("4.6", NEW),
  generation("4.7", NEW),
  generation("4.8", NEW),
];

function generation(name, traits) {
  return { ...traits, name, io: require(`client-${name}`), msgpack: require(traits.msgpack) };
}
