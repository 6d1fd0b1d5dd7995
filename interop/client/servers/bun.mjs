// The site on Bun with its own engine. Usage: ../node_modules/.bin/bun bun.mjs [OPTION...], see README.md.
import { Server as Engine } from "@socket.io/bun-engine";
import msgpack from "msgpack-3";
import { Server } from "server-4.8";
import { serve } from "./contract.mjs";
import { announce, endWhenTold } from "./life.mjs";
import { engineOptions, read } from "./options.mjs";

const values = read();
values.refuse("no-websocket", "no-polling", "no-upgrade");

const io = new Server({
  ...(values.recovery ? { connectionStateRecovery: {} } : {}),
  ...(values.parser === "msgpack" ? { parser: msgpack } : {}),
});
const engine = new Engine({
  path: "/socket.io/",
  ...engineOptions(values),
  editHandshakeHeaders: (headers) => headers.set("set-cookie", "site=1; Path=/"),
});
io.bind(engine);
serve(io, { cut: (socket) => cut(socket.conn), missing: ["cut-polling", "no-upgrade", "transports"] });

const handler = engine.handler();
const site = {
  ...handler,
  websocket: { ...handler.websocket, perMessageDeflate: values.deflate },
  development: false,
};
const server = Bun.serve({ ...site, hostname: "127.0.0.1", port: values.port });
if (values.unix) Bun.serve({ ...site, idleTimeout: undefined, unix: values.unix });
announce({ port: server.port, unix: values.unix ?? null });
endWhenTold(values.unix);

/**
 * Bun has no way to end the connection of a request: a poll that waits is answered 500, and the session is
 * gone for whoever comes later.
 */
function cut(conn) {
  const { transport } = conn;
  if (transport.name === "websocket") return void transport.socket.terminate();
  transport.pollingPromise?.resolve(new Response(null, { status: 500 }));
  transport.pollingPromise = undefined;
  transport.writable = false;
  conn.onClose("transport error");
}
