// The testee protocol's ways of writing bytes, strings and values; see ../../protocol/testee.md.

import { concat, hex, textOf, utf8 } from "../src/bytes.js";
import { writeJson } from "../src/json.js";
import { sha256 } from "#platform";

const LONGEST_HEX = 65_536;

export const fromHex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));

/** Bytes of a request. */
export function readBytes(value) {
  if (value.hex !== undefined) return fromHex(value.hex);
  if (value.text !== undefined) return utf8(value.text);
  return generate(value.gen.seed, value.gen.len);
}

/** Bytes of an answer. */
export async function showBytes(bytes) {
  return bytes.length <= LONGEST_HEX
    ? { hex: hex(bytes) }
    : { sha256: await sha256(bytes), len: bytes.length };
}

/** A string of a request. */
export const readString = (value) => (typeof value === "string" ? value : textOf(fromHex(value.hex)));

/** A string of an answer. */
export const showString = (text) => (/^[ -~]*$/.test(text) ? text : { hex: hex(utf8(text)) });

/** A JSON value of an answer, as JSON text. */
export const showJson = (value) => ({ hex: hex(utf8(writeJson(value))) });

/** Integers above 2^53-1 travel as decimal strings. */
export const showInteger = (value) => (typeof value === "bigint" ? value.toString() : value);
export const readInteger = (value) => {
  const exact = BigInt(value);
  return exact >= -BigInt(Number.MAX_SAFE_INTEGER) && exact <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(exact)
    : exact;
};

/** The pieces of bytes between the cuts. */
export function cut(bytes, positions) {
  const cuts = [0, ...positions, bytes.length];
  return cuts.slice(1).map((end, i) => bytes.subarray(cuts[i], end));
}

/** The generator of the protocol, xorshift64*, in 32-bit halves. */
function generate(seed, length) {
  const out = new Uint8Array(length);
  const start = BigInt.asUintN(64, BigInt(seed) * 2n + 1n);
  let high = Number(start >> 32n),
    low = Number(start & 0xffffffffn);
  for (let i = 0; i < length; i++) {
    [high, low] = [high ^ (high >>> 12), low ^ ((low >>> 12) | (high << 20))];
    [high, low] = [high ^ ((high << 25) | (low >>> 7)), low ^ (low << 25)];
    [high, low] = [high ^ (high >>> 27), low ^ ((low >>> 27) | (high << 5))];
    // The top byte of the product with 0x2545F4914F6CDD1D, modulo 2^64.
    const product =
      highOfProduct(low >>> 0, 0x4f6cdd1d) + Math.imul(high, 0x4f6cdd1d) + Math.imul(low, 0x2545f491);
    out[i] = (product >>> 24) & 0xff;
  }
  return out;
}

/** The upper 32 bits of the product of two 32-bit integers. */
function highOfProduct(a, b) {
  const [a1, a0, b1, b0] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const carry = (middle & 0xffff) + a0 * b1;
  return (a1 * b1 + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) | 0;
}

export { concat };
