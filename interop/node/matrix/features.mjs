// What is tested in every cell, each a column of the table.
//
// A feature is { title, missing, test }: missing(cell) gives the reason why the cell cannot have it,
// and test(bench) fails when the cell lacks it.
import acks from "./features/acks.mjs";
import auth from "./features/auth.mjs";
import binary from "./features/binary.mjs";
import connect from "./features/connect.mjs";
import deflate from "./features/deflate.mjs";
import events from "./features/events.mjs";
import namespaces from "./features/namespaces.mjs";
import reconnection from "./features/reconnection.mjs";
import recovery from "./features/recovery.mjs";
import retries from "./features/retries.mjs";
import rooms from "./features/rooms.mjs";
import volatileDown from "./features/volatile-down.mjs";
import volatileUp from "./features/volatile-up.mjs";

export const features = [
  connect, auth, events, binary, acks, rooms, namespaces, volatileDown, volatileUp, retries, reconnection, recovery, deflate,
];
