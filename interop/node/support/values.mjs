// Values that a codec may get wrong, and bytes to go with them.

export const values = [
  ["an empty string", ""],
  ["plain text", "hello"],
  ["quotes and backslashes", 'say "hi" \\ and \\" again'],
  ["control characters", "\u0000\u0001\b\t\n\v\f\r\u001b\u007f\u0085\u2028\u2029"],
  ["the payload separator", "a\u001eb\u001e\u001ec"],
  ["text like packets", '42["echo",1]'],
  ["text beyond the basic plane", "𝄞 😀 👩‍👩‍👧‍👦 𠜎 ﷽ e\u0301 \uFFFF \u{10FFFF}"],
  ["zero", 0],
  ["a negative number", -42],
  ["fractions", [0.1, -1.5, 1e-7, 3.141592653589793]],
  ["the edges of exact integers", [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]],
  ["the edges of floats", [Number.MAX_VALUE, Number.MIN_VALUE, 1e21, 123456789012345680000]],
  ["null", null],
  ["booleans", [true, false]],
  ["an empty array", []],
  ["an empty object", {}],
  ["nested objects", { a: { b: [{ c: null }, [[]], { "": { "k e\"y": 1 } }] }, d: [1, [2, [3, { e: "f" }]]] }],
  ["keys that mean something in JavaScript", JSON.parse('{"__proto__":{"x":1},"constructor":2,"toString":null}')],
  ["an object that only looks like an attachment", { num: 0, placeholder: true }],
];

/** Repeatable bytes that hold every value and no short period. */
export function bytes(size) {
  return Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8) * 7) & 0xff));
}

/** A copy in which every kind of binary has become a Buffer, so that it can be compared. */
export function buffered(value) {
  if (Buffer.isBuffer(value)) return value;
  if (value instanceof ArrayBuffer) return Buffer.from(value);
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (Array.isArray(value)) return value.map(buffered);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, buffered(item)]));
}
