// Tests that ask for what a server of several nodes is not, by their names or those of their suites, with the reasons.
const ONE_CLOCK = "it stops the clock of one process, and these are several";
const OVERLAP = "of two polls at two nodes both may be answered with the end of the session, and none with 400";
const DATA = "what the fixture remembers of a socket stays at its node";
const BROADCAST = "it counts on a broadcast having arrived when its sender is answered; at other nodes it arrives later";

export const leftOut = new Map([
  ["disconnect: who is put out hears nothing more and may come back [polling]", BROADCAST],
  ["disconnect: who is put out hears nothing more and may come back [websocket]", BROADCAST],
  ["disconnect: who is put out hears nothing more and may come back [upgraded]", BROADCAST],
  ["engine: two GETs at once end the session", OVERLAP],
  ["heartbeat: a server that falls silent is noticed by the client [polling]", ONE_CLOCK],
  ["heartbeat: a server that falls silent is noticed by the client [websocket]", ONE_CLOCK],
  ["heartbeat: a server that falls silent is noticed by the client [upgraded]", ONE_CLOCK],
  ["order: joining before a broadcast is being there for it [polling]", BROADCAST],
  ["order: joining before a broadcast is being there for it [websocket]", BROADCAST],
  ["order: joining before a broadcast is being there for it [upgraded]", BROADCAST],
  ["recovery: a room joined after an event was sent does not replay that event [polling]", BROADCAST],
  ["recovery: a room joined after an event was sent does not replay that event [websocket]", BROADCAST],
  ["recovery: a room joined after an event was sent does not replay that event [upgraded]", BROADCAST],
  ["recovery: rooms and data are kept [polling]", DATA],
  ["recovery: rooms and data are kept [websocket]", DATA],
  ["recovery: rooms and data are kept [upgraded]", DATA],
  ["rooms: one socket is left out by its id [polling]", BROADCAST],
  ["rooms: one socket is left out by its id [websocket]", BROADCAST],
  ["rooms: one socket is left out by its id [upgraded]", BROADCAST],
  ["rooms: who has left hears nothing more [polling]", BROADCAST],
  ["rooms: who has left hears nothing more [websocket]", BROADCAST],
  ["rooms: who has left hears nothing more [upgraded]", BROADCAST],
  ["upgrade: broadcasts reach a client during its upgrade", BROADCAST],
]);
