// Base64 (B64-): one pass over the bytes, in pieces of any size.
//
// Buffer.from and atob take almost anything and say nothing about where it went wrong, so neither is used.

import { concat } from "./bytes.js";
import { NatsBridgeError } from "./errors.js";

const ALPHABET = new TextEncoder().encode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
const PAD = 0x3d,
  LF = 0x0a,
  CR = 0x0d;

// The low six bits are a character's value. The high two say which alphabet it belongs to; both mean none.
const STANDARD = 0x40,
  URL_SAFE = 0x80,
  OUTSIDE = 0xc0;
const VALUES = new Uint8Array(256).fill(OUTSIDE);
ALPHABET.forEach((byte, value) => {
  VALUES[byte] = value < 62 ? value : value | STANDARD;
});
VALUES[0x2d] = 62 | URL_SAFE;
VALUES[0x5f] = 63 | URL_SAFE;

/** The characters that `length` raw bytes take, padding included. */
export const encodedLength = (length) => 4 * Math.ceil(length / 3);

/** Standard alphabet with padding (B64-1), as ASCII bytes. */
export function encodeBase64(bytes) {
  const encoder = new Base64Encoder();
  const body = encoder.push(bytes);
  const tail = encoder.finish();
  return tail.length === 0 ? body : concat([body, tail]);
}

/** Encodes bytes that come in pieces: `push` each, then `finish`. */
export class Base64Encoder {
  #carry = new Uint8Array(0);

  /** The characters that are settled; up to two bytes are held back. */
  push(piece) {
    const bytes = this.#carry.length === 0 ? piece : concat([this.#carry, piece]);
    const whole = bytes.length - (bytes.length % 3);
    const out = new Uint8Array((whole / 3) * 4);
    for (let at = 0, to = 0; at < whole; at += 3) {
      const three = (bytes[at] << 16) | (bytes[at + 1] << 8) | bytes[at + 2];
      out[to++] = ALPHABET[three >> 18];
      out[to++] = ALPHABET[(three >> 12) & 63];
      out[to++] = ALPHABET[(three >> 6) & 63];
      out[to++] = ALPHABET[three & 63];
    }
    this.#carry = bytes.slice(whole);
    return out;
  }

  /** The last group, with its padding. */
  finish() {
    const [first, second = 0] = this.#carry;
    const { length } = this.#carry;
    this.#carry = new Uint8Array(0);
    if (length === 0) return new Uint8Array(0);
    const two = (first << 8) | second;
    return Uint8Array.of(
      ALPHABET[two >> 10],
      ALPHABET[(two >> 4) & 63],
      length === 2 ? ALPHABET[(two << 2) & 63] : PAD,
      PAD,
    );
  }
}

/**
 * The raw bytes. Takes either alphabet, missing padding and one line end; refuses everything else (B64-2 to
 * B64-5).
 *
 * @throws {NatsBridgeError} `invalid_base64`, with the offset of the first wrong character
 */
export function decodeBase64(characters) {
  const decoder = new Base64Decoder();
  const body = decoder.push(characters);
  decoder.finish();
  return body;
}

/**
 * Decodes characters that come in pieces: `push` each, then `finish`, which finds what is missing at the end.
 * The offset of an error is that of the first character with which no valid text can go on.
 */
export class Base64Decoder {
  #length = 0; // characters so far
  #count = 0; // characters of the open group of four
  #bits = 0; // their values
  #alphabet = 0; // STANDARD or URL_SAFE once one was seen
  #padding = 0;
  #lineEnd = 0; // CR or LF: the last character, once the line end has begun

  /** The bytes that are settled. */
  push(piece) {
    const out = new Uint8Array(Math.ceil(((this.#count + piece.length) * 3) / 4));
    let to = 0;
    let at = 0;
    while (at < piece.length) {
      if (this.#count === 0 && this.#padding === 0 && this.#lineEnd === 0) {
        const start = at;
        let alphabet = this.#alphabet;
        for (; at + 4 <= piece.length; at += 4) {
          const a = VALUES[piece[at]],
            b = VALUES[piece[at + 1]],
            c = VALUES[piece[at + 2]],
            d = VALUES[piece[at + 3]];
          const seen = alphabet | ((a | b | c | d) & OUTSIDE);
          if (seen === OUTSIDE) break;
          alphabet = seen;
          const four = ((a & 63) << 18) | ((b & 63) << 12) | ((c & 63) << 6) | (d & 63);
          out[to++] = four >> 16;
          out[to++] = four >> 8;
          out[to++] = four;
        }
        this.#alphabet = alphabet;
        this.#length += at - start;
        if (at === piece.length) break;
      }
      to = this.#one(piece[at++], out, to);
    }
    return out.subarray(0, to);
  }

  #one(byte, out, to) {
    const offset = this.#length++;
    const value = VALUES[byte];
    const isSymbol = (value & OUTSIDE) !== OUTSIDE;
    if (this.#lineEnd !== 0) {
      if (this.#lineEnd !== CR || byte !== LF) throw outside(offset);
      this.#lineEnd = LF;
      return to;
    }
    if (isSymbol && this.#padding === 0) return this.#symbol(value, offset, out, to);
    if (byte !== PAD && byte !== LF && byte !== CR && this.#padding === 0) throw outside(offset);
    this.#checkGroup(offset);
    if (byte === PAD) {
      if (this.#padding === this.#due()) throw badPadding(offset);
      this.#padding++;
    } else {
      if (this.#padding > 0 && this.#padding < this.#due()) throw badPadding(offset);
      if (byte !== LF && byte !== CR) throw outside(offset);
      this.#lineEnd = byte;
    }
    return to;
  }

  #symbol(value, offset, out, to) {
    this.#alphabet |= value & OUTSIDE;
    if (this.#alphabet === OUTSIDE) {
      throw new NatsBridgeError("invalid_base64", "two alphabets", { clause: "B64-2", offset });
    }
    this.#bits = (this.#bits << 6) | (value & 63);
    this.#count = (this.#count + 1) % 4;
    if (this.#count === 1) return to;
    const left = { 2: 4, 3: 2, 0: 0 }[this.#count];
    out[to] = this.#bits >> left;
    this.#bits &= (1 << left) - 1;
    return to + 1;
  }

  /** How many padding characters complete the group. */
  #due() {
    return (4 - this.#count) % 4;
  }

  /** B64-5, where the characters of the alphabet end. */
  #checkGroup(offset) {
    if (this.#padding > 0) return;
    if (this.#count === 1) {
      throw new NatsBridgeError("invalid_base64", "a lone last character", { clause: "B64-5", offset });
    }
    if (this.#count !== 0 && this.#bits !== 0) {
      throw new NatsBridgeError("invalid_base64", "left-over bits", { clause: "B64-5", offset: offset - 1 });
    }
  }

  /** Checks the end. */
  finish() {
    if (this.#lineEnd !== 0) {
      if (this.#lineEnd === CR) throw outside(this.#length); // a CR wants its LF
      return;
    }
    this.#checkGroup(this.#length);
    if (this.#padding > 0 && this.#padding < this.#due()) throw badPadding(this.#length);
  }
}

function outside(offset) {
  return new NatsBridgeError("invalid_base64", "a character outside the alphabet", {
    clause: "B64-4",
    offset,
  });
}

function badPadding(offset) {
  return new NatsBridgeError("invalid_base64", "wrong padding", { clause: "B64-3", offset });
}
