// What does not exist for a client, a parser or a transport, and why. A cell that such a function
// gives a reason for is not tested, and its reason is printed with the table.

export function oldControlPackets({ client, setup }) {
  if (client.protocol === 3 && setup.parser === "msgpack") {
    return (
      "version 2 of the msgpack parser writes what joins and leaves a namespace as JSON text, which version 3 " +
      "never reads: old clients with it have / alone"
    );
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
