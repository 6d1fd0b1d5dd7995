// What programs that are no servers do. They know nothing of a first server, only of those at which it arrives.
import { bytes } from "../../node/support/values.mjs";
import { moves } from "./moves.mjs";
import { expectSeen } from "./server-side.mjs";

export default [
  {
    title: "emitter: to all",
    async test(bench) {
      const [speaker, crowd] = [await bench.emitter(), await bench.crowdThere()];
      await bench.expectHearing({}, crowd, { speaker, args: ["schön 雪", { a: [null] }] });
    },
  },
  {
    title: "emitter: to rooms, and except",
    async test(bench) {
      const [speaker, one, other] = [await bench.emitter(), bench.key("room"), bench.key("room")];
      const first = await bench.crowdThere({ room: one });
      const second = await bench.crowdThere({ room: other });
      const rest = await bench.crowdThere();
      await bench.expectHearing({ rooms: [one] }, first, { speaker });
      await bench.expectHearing({ rooms: [one, other] }, [...first, ...second], { speaker });
      await bench.expectHearing({ except: [one] }, [...second, ...rest], { speaker });
      await bench.expectHearing({ rooms: [one, other], except: [first[0].id, other] }, first.slice(1), { speaker });
    },
  },
  {
    title: "emitter: bytes",
    async test(bench) {
      const [speaker, crowd] = [await bench.emitter(), await bench.crowdThere()];
      await bench.expectHearing({}, crowd, { speaker, args: [{ data: bytes(300) }, bytes(3)] });
    },
  },
  {
    title: "emitter: 200 KB of text",
    async test(bench) {
      const [speaker, crowd] = [await bench.emitter(), await bench.crowdThere()];
      await bench.expectHearing({}, crowd, { speaker, args: ["long ".repeat(40_000)] });
    },
  },
  ...moves("emitter: ", (bench) => bench.emitter(), (bench, options) => bench.crowdThere(options)),
  {
    title: "emitter: server-side event",
    async test(bench) {
      await expectSeen(bench, await bench.emitter(), ["schön", { a: [null] }]);
    },
  },
];
