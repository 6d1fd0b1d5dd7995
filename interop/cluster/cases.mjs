// What is tested in every column, each a row of the table.
//
// A case is { title, isLast, waits, test }: test(bench) fails when the servers of the column are not one in this, and
// what is last comes when all other cases of the column are over. What mostly waits for its time to pass does so beside
// others of its kind.
import acks from "./cases/acks.mjs";
import emit from "./cases/emit.mjs";
import emitter from "./cases/emitter.mjs";
import fetch from "./cases/fetch.mjs";
import moves from "./cases/moves.mjs";
import order from "./cases/order.mjs";
import roomNames from "./cases/room-names.mjs";
import serverSide from "./cases/server-side.mjs";
import servers from "./cases/servers.mjs";
import values from "./cases/values.mjs";

export const cases = [
  ...emit, ...roomNames, ...values, ...order, ...acks, ...fetch, ...moves, ...serverSide, ...emitter, ...servers,
];
