// Tests which the official server is known to fail, and why. Against it they are
// expected to fail, and a pass is reported as an error so that this list cannot rot;
// against any other server they count like all the others.

const TOO_EARLY =
  "a namespace is joined on a later tick, and an event that comes before closes the connection";
const TOO_LATE =
  "an event reaches its handler two ticks after its packet, a goodbye takes one: " +
  "what comes in the same chunk as the goodbye is dropped";
const NOT_YET_GONE =
  "a goodbye is heard on a later tick, so the CONNECT behind it counts as a second one";
const VOLATILE_OFFSET =
  "a volatile event has no offset, so the client takes its last string for one: the server never gave that";
const NO_OFFSET = "a client without an offset is never recovered";
const ROOMS_OF_THE_END =
  "what is replayed is chosen by the rooms at the end of the connection, not by those at the time of the event";
const AN_OBJECT = "a client of Socket.IO 2 is told an object here, although that version was told a text";
const NO_SECRET = "a client of Socket.IO 2 has the id of its session, or one made from it, as its public one";
const COMPRESSED_ANYWAY = "what `compress(false)` sets does not reach the WebSocket";

const NO_WORD = "a WebSocket is closed without a word why";

export const knownReferenceFailures = new Map([
  ...inEachMode("raw: an event in the same breath as CONNECT to / is handled", TOO_EARLY),
  ...inEachMode("raw: an event in the same breath as CONNECT to /slow is handled", TOO_EARLY),
  ...inEachMode("raw: a goodbye and a new CONNECT in the same breath are both heard", NOT_YET_GONE),
  ...inEachMode("recovery: a volatile event that ends with a string does not spoil the offset", VOLATILE_OFFSET),
  ["recovery: a client that was given no event yet is recovered by its pid alone", NO_OFFSET],
  ...inEachMode("recovery: a room joined after an event was sent does not replay that event", ROOMS_OF_THE_END),
  ["disconnect: who sends a message that is too large is told so, and comes back", NO_WORD],
  ...inEachMode("disconnect: what was emitted before leaving still arrives", TOO_LATE),
  ...inEachMode("eio3: a namespace that is not there is an error in words", AN_OBJECT),
  ...inEachMode("eio3: the id of a session is nowhere to be seen", NO_SECRET),
  ["compression: an event can be sent as it is", COMPRESSED_ANYWAY],
]);

function inEachMode(title, reason) {
  return ["polling", "websocket", "upgraded"].map((mode) => [`${title} [${mode}]`, reason]);
}
