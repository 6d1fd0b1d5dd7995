// What does not exist in a row, and why.

export function noWebSocket({ setup, mode }) {
  if (mode.name === "websocket" && !setup.webSocket) return "without the headers of an upgrade no WebSocket gets through";
}

export function oneNode(row) {
  return row.setup.nodes === 1 ? "there is one node" : noWebSocket(row);
}

export function noReload({ setup }) {
  if (!setup.canReload) return "only nginx is asked to, where it is set up as documented";
}
