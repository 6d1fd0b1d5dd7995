// Sockets that are told to join, to leave and to go.
import assert from "node:assert/strict";

/** `name` begins the titles. Who says so is what `getSpeaker` gives, to the sockets that `getCrowd` gives. */
export const moves = (name, getSpeaker, getCrowd) => [
  {
    title: `${name}join`,
    async test(bench) {
      const [speaker, rooms] = [await getSpeaker(bench), [bench.key("room"), bench.key("room")]];
      const moved = await getCrowd(bench, { room: bench.key("room") });
      await getCrowd(bench);
      await speaker.do("join", { rooms: moved.map(({ id }) => id), into: rooms });
      for (const room of rooms) await bench.members(room, moved);
      for (const room of rooms) await bench.expectHearing({ rooms: [room] }, moved, { speaker });
      assert.ok((await bench.to.do("rooms")).includes(rooms[0]));
    },
  },
  {
    title: `${name}leave`,
    async test(bench) {
      const [speaker, room, other] = [await getSpeaker(bench), bench.key("room"), bench.key("room")];
      const members = await getCrowd(bench, { room });
      const moved = members.slice(0, 2);
      await speaker.do("join", { rooms: [room], into: [other] });
      await bench.members(other, members);
      await speaker.do("leave", { rooms: moved.map(({ id }) => id), from: [room] });
      await bench.members(room, members.slice(2));
      await bench.expectHearing({ rooms: [room] }, members.slice(2), { speaker });
      await bench.expectHearing({ rooms: [other] }, members, { speaker });
    },
  },
  {
    title: `${name}disconnect from the namespace`,
    async test(bench) {
      const { gone, rest, beside } = await putOut(bench, await getSpeaker(bench), getCrowd, false);
      for (const client of gone) assert.equal(client.socket.io.engine.readyState, "open", client.name);
      for (const socket of beside) await socket.do("me");
      await bench.expectHearing({}, rest);
    },
  },
  {
    title: `${name}disconnect and close`,
    async test(bench) {
      const { rest, beside } = await putOut(bench, await getSpeaker(bench), getCrowd, true);
      await Promise.all(beside.map((socket) => socket.isPutOut()));
      await bench.expectHearing({}, rest);
    },
  },
];

/** Puts a crowd out whose clients are in a second namespace as well, and leaves another one in. */
async function putOut(bench, speaker, getCrowd, close) {
  const room = bench.key("room");
  const gone = await getCrowd(bench, { room });
  const rest = await getCrowd(bench);
  const beside = await Promise.all(gone.map((client) => bench.beside(client)));
  await speaker.do("disconnect", { rooms: [room], close });
  await Promise.all(gone.map((client) => client.isPutOut()));
  await bench.members(room, []);
  return { gone, rest, beside };
}

export default moves("", (bench) => bench.from, (bench, options) => bench.crowd(options));
