// What does not exist for a client, a parser or a transport, and why. A cell that such a function
// gives a reason for is not tested, and its reason is printed with the table.

// Version 2 of the msgpack parser and servers of this protocol were never meant for each other: what
// works is luck, and these do not.
const isOldMsgpack = ({ client, setup }) => client.protocol === 3 && setup.parser === "msgpack";

export function oldMsgpackNamespaces(cell) {
  if (isOldMsgpack(cell)) {
    return "version 2 of the msgpack parser writes what joins and leaves a namespace as JSON text, which version 3 never reads";
  }
}

export function oldMsgpackBinary(cell) {
  if (isOldMsgpack(cell)) {
    return "version 2 of the msgpack parser gives packets with bytes types of their own, which version 3 refuses";
  }
}

export function oldVolatile({ client }) {
  if (!client.volatile) return "volatile events of the client came with version 3";
}

export function oldRetries({ client }) {
  if (!client.retries) return "retries came with version 4.6";
}

export function noFrames({ setup, transport }) {
  if (!setup.deflate) return "the server compresses nothing";
  if (transport.name === "polling") return "permessage-deflate belongs to WebSocket, and here is none";
}
