// Bytes and UTF-8, strictly, in Node and in browsers alike.

import { NatsBridgeError } from "./errors.js";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** UTF-8 of a string; a lone surrogate is refused, because UTF-8 has none. */
export function utf8(text) {
  if (!text.isWellFormed())
    throw new NatsBridgeError("invalid_input", "a string holds a lone surrogate", { clause: "ENV-W3" });
  return encoder.encode(text);
}

/** The string, or null where the bytes are not UTF-8. A byte order mark is a character like any other. */
export function textOf(bytes) {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

/** A view of anything that holds bytes: an ArrayBuffer, any view of one, Node's Buffer. */
export function bytesOf(data) {
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  throw new NatsBridgeError(
    "invalid_input",
    "expected bytes: a Uint8Array, an ArrayBuffer or a view of one",
    { clause: "TYPE-1" },
  );
}

/** One array with all the pieces. */
export function concat(pieces) {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

/** Lower-case hexadecimal. */
export function hex(bytes) {
  let out = "";
  for (const byte of bytes) out += (byte < 16 ? "0" : "") + byte.toString(16);
  return out;
}

/** A random UUID of version 4. (`crypto.randomUUID` exists in secure contexts only.) */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return hex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Where UTF-8 first breaks, by the byte ranges of the Unicode standard. */
export function firstInvalidUtf8(bytes) {
  let at = 0;
  while (at < bytes.length) {
    const lead = bytes[at];
    let more = 0,
      low = 0x80,
      high = 0xbf;
    if (lead < 0x80) more = 0;
    else if (lead >= 0xc2 && lead <= 0xdf) more = 1;
    else if (lead >= 0xe0 && lead <= 0xef) {
      more = 2;
      if (lead === 0xe0) low = 0xa0;
      if (lead === 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      more = 3;
      if (lead === 0xf0) low = 0x90;
      if (lead === 0xf4) high = 0x8f;
    } else return at;
    for (let i = 1; i <= more; i++) {
      const byte = bytes[at + i];
      if (byte === undefined || byte < low || byte > high) return at;
      low = 0x80;
      high = 0xbf;
    }
    at += more + 1;
  }
  return at;
}
