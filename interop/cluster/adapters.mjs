// The official adapters, by engine: `create` makes them, `ready` waits until those of these namespaces hear the
// other servers, `settled` until they hear them in the rooms of all who have joined so far, `close` ends the
// connections when all that was to be sent is sent.
import { createAdapter as createPostgresAdapter } from "@socket.io/postgres-adapter";
import { createAdapter as createRedisAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import pg from "pg";
import { createClient } from "redis";

const LOOK_AGAIN = 10;
// By default it takes five seconds until servers that have missed each other's greeting know of each other.
const HEARTBEAT = 1_000;
// One to listen, one to speak: what is sent over several connections comes in any order.
const CONNECTIONS = 2;

export const adapters = {
  redis: (url) => pubSub(url, createRedisAdapter),
  sharded: (url) => sharded(url, "dynamic"),
  "sharded-static": (url) => sharded(url, "static"),
  "sharded-private": (url) => sharded(url, "dynamic-private"),
  streams,
  postgres,
};

async function pubSub(url, create) {
  const pub = await connected(createClient({ url }));
  const sub = await connected(pub.duplicate());
  // Behind all subscriptions so far, on the same connection. Who joins a room of the sharded adapter does not wait
  // for its subscription: what others say there meanwhile is lost.
  const settled = () => sub.ping();
  return {
    create: create(pub, sub),
    ready: settled,
    settled,
    close: () => Promise.all([pub.close(), sub.close()]),
  };
}

const sharded = (url, subscriptionMode) =>
  pubSub(url, (pub, sub) => createShardedAdapter(pub, sub, { subscriptionMode }));

/** It makes its connections itself; they have the name of this one. */
async function streams(url, { name }) {
  const client = await connected(createClient({ url, name }));
  const isSubscribed = async (namespace) => {
    const own = `socket.io#${namespace.name}#${namespace.adapter.uid}#`;
    return (await client.sendCommand(["PUBSUB", "CHANNELS", own])).length > 0;
  };
  const isReading = async () => {
    const clients = (await client.sendCommand(["CLIENT", "LIST"])).split("\n").map((line) => line.split(" "));
    return clients.some((words) => words.includes(`name=${name}`) && words.includes("cmd=xread"));
  };
  return {
    create: createStreamsAdapter(client),
    async ready(namespaces) {
      await until(isReading);
      for (const namespace of namespaces) await until(() => isSubscribed(namespace));
    },
    settled() {},
    close: () => client.close(),
  };
}

async function postgres(url, { name }) {
  const pool = new pg.Pool({ connectionString: url, application_name: name, max: CONNECTIONS });
  pool.on("error", () => {});
  // It listens to one namespace after the other; the last command of a connection stays in sight.
  const isListening = async (namespace) => {
    const text = "SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND query = $2 AND state = 'idle'";
    const { rowCount } = await pool.query(text, [name, `LISTEN "socket.io#${namespace.name}"`]);
    return rowCount > 0;
  };
  return {
    create: createPostgresAdapter(pool, { heartbeatInterval: HEARTBEAT }),
    ready: (namespaces) => until(() => isListening(namespaces.at(-1))),
    settled() {},
    close: () => pool.end(),
  };
}

async function connected(client) {
  // Connections end with the service, which is told otherwise.
  client.on("error", () => {});
  await client.connect();
  return client;
}

async function until(isSo) {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
}
