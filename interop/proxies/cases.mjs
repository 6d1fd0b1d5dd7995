// What is tested in every row, each a column of the table.
//
// A case is { title, missing, test, isLong, isQuiet }: missing(row) gives the reason why a row cannot have it,
// test(bench) fails when the row lacks it, and the short selection leaves out what is long. Servers of what is long or
// quiet ping as seldom as they do by default.
import bytes from "./cases/bytes.mjs";
import connect from "./cases/connect.mjs";
import events from "./cases/events.mjs";
import hostile from "./cases/hostile.mjs";
import idle from "./cases/idle.mjs";
import leave from "./cases/leave.mjs";
import longIdle from "./cases/long-idle.mjs";
import nodes from "./cases/nodes.mjs";
import origins from "./cases/origins.mjs";
import refusals from "./cases/refusals.mjs";
import reload from "./cases/reload.mjs";
import restart from "./cases/restart.mjs";
import slow from "./cases/slow.mjs";
import text from "./cases/text.mjs";

export const cases = [
  connect, events, text, bytes, origins, refusals, idle, slow, leave, nodes, hostile, restart, reload, longIdle,
];
