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
const COMPRESSED_ANYWAY = "what `compress(false)` sets does not reach the WebSocket";

export const knownReferenceFailures = new Map([
  ...inEachMode("raw: an event in the same breath as CONNECT to / is handled", TOO_EARLY),
  ...inEachMode("raw: an event in the same breath as CONNECT to /slow is handled", TOO_EARLY),
  ...inEachMode("raw: a goodbye and a new CONNECT in the same breath are both heard", NOT_YET_GONE),
  ...inEachMode("disconnect: what was emitted before leaving still arrives", TOO_LATE),
  ["compression: an event can be sent as it is", COMPRESSED_ANYWAY],
]);

function inEachMode(title, reason) {
  return ["polling", "websocket", "upgraded"].map((mode) => [`${title} [${mode}]`, reason]);
}
