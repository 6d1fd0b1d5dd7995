// Event arguments: reading them from a text field, and making JSON and binary readable.

import { byteSize } from "./dom.js";

// Enough to read a large message; the rest would only slow the page down.
const MAX_SHOWN = 20_000;
const HEX_BYTES = 64;

// Signatures, because the type a sender claims cannot be trusted with a preview.
const IMAGE_SIGNATURES = [
  ["image/png", (b) => hasBytes(b, 0, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])],
  ["image/jpeg", (b) => hasBytes(b, 0, [0xff, 0xd8, 0xff])],
  ["image/gif", (b) => hasBytes(b, 0, [0x47, 0x49, 0x46, 0x38])],
  ["image/webp", (b) => hasBytes(b, 0, [0x52, 0x49, 0x46, 0x46]) && hasBytes(b, 8, [0x57, 0x45, 0x42, 0x50])],
];

function hasBytes(bytes, offset, wanted) {
  return wanted.every((value, index) => bytes[offset + index] === value);
}

export const imageType = (bytes) => IMAGE_SIGNATURES.find(([, matches]) => matches(bytes))?.[0] ?? null;

function parseJson(text) {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { error: `Not valid JSON: ${error.message}` };
  }
}

// A JSON array is the list of arguments, anything else one argument, nothing none.
export function parseArguments(text) {
  if (text.trim() === "") return { args: [] };
  const { value, error } = parseJson(text);
  if (error) return { error };
  return { args: Array.isArray(value) ? value : [value] };
}

// The auth payload of a connection: nothing, or a JSON object.
export function parseAuth(text) {
  if (text.trim() === "") return {};
  const { value, error } = parseJson(text);
  if (error) return { error };
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? { auth: value } : { error: "Auth must be a JSON object, such as {\"token\": \"…\"}" };
}

function asBytes(value) {
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return null;
}

// A JSON text of `args` with a placeholder for each binary value, and those values in order.
export function describe(args) {
  const binaries = [];
  const replaceBinary = (_key, value) => {
    const bytes = asBytes(value);
    if (!bytes) return value;
    binaries.push(bytes);
    return `‹binary ${binaries.length}: ${byteSize(bytes.length)}›`;
  };
  const texts = args.map((arg) => JSON.stringify(arg, replaceBinary, 2) ?? "undefined");
  return { pretty: texts.join(",\n"), compact: texts.join(", ").replace(/\n\s*/g, " "), binaries };
}

export function shorten(text) {
  if (text.length <= MAX_SHOWN) return text;
  return `${text.slice(0, MAX_SHOWN)}\n… ${text.length - MAX_SHOWN} more characters`;
}

// What the sender said about a file next to its bytes, as the playground itself does.
export function fileInfo(args) {
  const info = args.find((arg) => typeof arg?.name === "string" && typeof arg?.size === "number");
  return { name: info?.name ?? "" };
}

function hexLine(bytes) {
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const text = [...bytes].map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
  return `${hex.padEnd(23)}  ${text}`;
}

export function hexPreview(bytes) {
  const lines = [];
  const end = Math.min(bytes.length, HEX_BYTES);
  for (let at = 0; at < end; at += 8) lines.push(hexLine(bytes.subarray(at, Math.min(at + 8, end))));
  if (bytes.length > end) lines.push(`… ${bytes.length - end} more bytes`);
  return lines.join("\n");
}

// Resolves to null where the browser has no digests: on plain HTTP other than localhost.
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
