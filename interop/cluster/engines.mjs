// What carries the messages of a cluster: which kinds of servers have it, and the service it needs.
//
// `open` gives { url, stop } of a service that no other cluster uses. Where servers can only meet inside one
// process, `isOneProcess` is true.
import { Nats, Postgres, Redis } from "./services.mjs";

const BOTH = ["node", "rust"];
const OURS = ["rust"];

export const engines = [
  { name: "redis", kinds: BOTH, open: () => Redis.start() },
  { name: "sharded", kinds: BOTH, open: () => Redis.start() },
  { name: "sharded-static", kinds: BOTH, open: () => Redis.start() },
  { name: "sharded-private", kinds: BOTH, open: () => Redis.start() },
  { name: "streams", kinds: BOTH, open: () => Redis.start(), recovers: true },
  { name: "postgres", kinds: BOTH, open: openDatabase },
  { name: "postgres-log", kinds: OURS, open: openDatabase, recovers: true },
  { name: "nats", kinds: OURS, open: () => Nats.start() },
  { name: "nats-log", kinds: OURS, open: () => Nats.start(), recovers: true },
  { name: "memory", kinds: OURS, open: () => ({ url: "memory:", stop() {} }), isOneProcess: true },
];

let postgres;

async function openDatabase() {
  postgres ??= Postgres.start();
  return { url: await (await postgres).database(), stop() {} };
}

/** Ends what several clusters have used, one after the other. */
export async function closeEngines() {
  await (await postgres)?.stop();
}
