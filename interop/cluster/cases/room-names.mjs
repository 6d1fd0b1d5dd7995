// Rooms may have any names, whatever an adapter makes of them.

const NUMBERS = ["42", "042", "4.2e1", "42.0", "0x2a", "NaN", "-1"];
const SIGNS = ["a#b", "#", "a##b#", "a*", "a?", "[ab]", "{a}", "x'; --", '"quoted"', "a/b"];
/** A socket id has twenty characters. */
const WORDS = ["schön 雪 😀", "two words", " ", "null", "twenty characters !!"];

export default [
  ["names of rooms that look like numbers", NUMBERS],
  ["odd names of rooms", [...SIGNS, ...WORDS]],
].map(([title, names]) => ({
  title,
  async test(bench) {
    const nearAndFar = await Promise.all(names.map(async (room) => {
      return [await bench.connect("from", { room }), await bench.connect("to", { room })];
    }));
    // Each by itself: a name that is taken for another one is heard by others.
    for (const [i, room] of names.entries()) await bench.expectHearing({ rooms: [room] }, nearAndFar[i]);
    for (const [i, room] of names.entries()) await bench.members(room, nearAndFar[i]);
    await bench.from.do("leave", { rooms: [names[0]], from: names });
    await bench.members(names[0], []);
    await bench.expectHearing({ rooms: names }, nearAndFar.slice(1).flat());
  },
}));
