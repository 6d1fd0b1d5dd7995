// What does not exist in a row, and why.
import { isReference } from "../node/support/server.mjs";

export function noWebSocket({ setup, mode }) {
  if (mode.name === "websocket" && !setup.webSocket) return "without the headers of an upgrade no WebSocket gets through";
}

export function oneNode(row) {
  return row.setup.nodes === 1 ? "there is one node" : noWebSocket(row);
}

export function noReload({ setup }) {
  if (!setup.canReload) return "only nginx is asked to, where it is set up as documented";
}

export function noOrigins(row) {
  return isReference ? "the official server refuses no origin by itself" : noWebSocket(row);
}

export function noRefusals({ setup, mode }) {
  if (isReference && setup.closesToServer && mode.name !== "websocket") {
    return "the official server ends such a connection before it has read all of it, and nginx says 502";
  }
}
