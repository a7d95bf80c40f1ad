// Strict JSON (ENV-R1, ENV-R2) over bytes, keeping what JSON.parse throws away: byte offsets,
// duplicate keys, key order and large integers.

import { isUtf8 } from "node:buffer";

const MAX_DEPTH = 128;
const I64_MIN = -(2n ** 63n);
const U64_MAX = 2n ** 64n - 1n;

const QUOTE = 0x22, BACKSLASH = 0x5c, COMMA = 0x2c, COLON = 0x3a;
const OPEN_BRACE = 0x7b, CLOSE_BRACE = 0x7d, OPEN_BRACKET = 0x5b, CLOSE_BRACKET = 0x5d;
const SHORT = new Map([..."\"\\/bfnrt"].map((c, i) => [c.charCodeAt(0), "\"\\/\b\f\n\r\t"[i]]));
const LITERALS = [["true", true], ["false", false], ["null", null]];

/** A refusal: the clause it rests on and, where there is one, the byte offset. */
export class PeerError extends Error {
  constructor(clause, message, offset = null) {
    super(message);
    this.clause = clause;
    this.offset = offset;
  }

  asJson() {
    return { clause: this.clause, offset: this.offset, message: this.message };
  }
}

/**
 * The one value that `text` (a Buffer) is. A value is { kind, start, end, held }: `held` is a list of
 * { key, at, value } for an object, of values for an array, a string for a string, the digits for a
 * number, and true, false or null for a literal.
 */
export function parse(text, clause = "ENV-R1", depthClause = "ENV-R2") {
  if (!isUtf8(text)) throw new PeerError(clause, "invalid UTF-8", firstInvalidUtf8(text));
  let at = 0;

  const fail = (message, offset = at) => {
    throw new PeerError(clause, message, offset);
  };
  const space = () => {
    while (text[at] === 0x20 || text[at] === 0x0a || text[at] === 0x0d || text[at] === 0x09) at++;
  };
  const hex4 = (start) => {
    const digits = text.toString("latin1", start + 2, start + 6);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) fail("a broken \\u escape", start);
    at = start + 6;
    return parseInt(digits, 16);
  };

  const escape = () => {
    const start = at;
    const letter = text[at + 1];
    if (letter !== 0x75) {
      if (!SHORT.has(letter)) fail("an unknown escape");
      at += 2;
      return SHORT.get(letter);
    }
    const first = hex4(start);
    if (first < 0xd800 || first > 0xdfff) return String.fromCharCode(first);
    if (first >= 0xdc00 || text[at] !== BACKSLASH || text[at + 1] !== 0x75) fail("a lone surrogate", start);
    const second = hex4(at);
    if (second < 0xdc00 || second > 0xdfff) fail("a lone surrogate", start);
    return String.fromCharCode(first, second);
  };

  const string = () => {
    at++;
    const parts = [];
    for (;;) {
      const start = at;
      while (text[at] >= 0x20 && text[at] !== QUOTE && text[at] !== BACKSLASH) at++;
      parts.push(text.toString("utf8", start, at));
      if (text[at] === QUOTE) {
        at++;
        return parts.join("");
      }
      if (at >= text.length) fail("the string does not end");
      if (text[at] !== BACKSLASH) fail("a raw control character in a string");
      parts.push(escape());
    }
  };

  const number = () => {
    const start = at;
    const most = text.toString("latin1", start, numberEnd(text, start));
    const match = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/.exec(most);
    if (!match) fail("expected a value");
    at += match[0].length;
    return match[0];
  };

  const items = (close, item) => {
    at++;
    const held = [];
    space();
    if (text[at] === close) {
      at++;
      return held;
    }
    for (;;) {
      space();
      held.push(item());
      space();
      if (text[at] === close) {
        at++;
        return held;
      }
      if (text[at] !== COMMA) fail("expected a comma");
      at++;
    }
  };

  const value = (depth) => {
    const start = at;
    const done = (kind, held) => ({ kind, start, end: at, held });
    const byte = text[at];
    if (byte === QUOTE) return done("string", string());
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      if (depth > MAX_DEPTH) throw new PeerError(depthClause, "nested too deeply", start);
      if (byte === OPEN_BRACKET) return done("array", items(CLOSE_BRACKET, () => value(depth + 1)));
      return done("object", items(CLOSE_BRACE, () => {
        const keyAt = at;
        if (text[at] !== QUOTE) fail("expected a key");
        const key = string();
        space();
        if (text[at] !== COLON) fail("expected a colon");
        at++;
        space();
        return { key, at: keyAt, value: value(depth + 1) };
      }));
    }
    for (const [literal, held] of LITERALS) {
      if (text.toString("latin1", at, at + literal.length) === literal) {
        at += literal.length;
        return done(held === null ? "null" : "boolean", held);
      }
    }
    return done("number", number());
  };

  space();
  const root = value(1);
  space();
  if (at !== text.length) fail("bytes after the value");
  return root;
}

/** Where the run of characters that a number may hold ends. */
function numberEnd(text, start) {
  let at = start;
  while (at < text.length && "+-.0123456789eE".includes(String.fromCharCode(text[at]))) at++;
  return at;
}

/**
 * Plain JavaScript for a value (TYPE-4). Objects become Maps, which keep key order and any key;
 * integers that fit 64 bits are exact, as BigInts where a number cannot hold them. A double that
 * overflows is refused, or, where a list `errors` is given, noted there and read as null.
 */
export function toPlain(value, errors) {
  switch (value.kind) {
    case "object":
      return new Map(value.held.map((member) => [member.key, toPlain(member.value, errors)]));
    case "array":
      return value.held.map((item) => toPlain(item, errors));
    case "number":
      return plainNumber(value, errors);
    default:
      return value.held;
  }
}

function plainNumber(value, errors) {
  const digits = value.held;
  const number = Number(digits);
  if (!Number.isFinite(number)) {
    const error = new PeerError("TYPE-4", "a number overflows a double", value.start);
    if (!errors) throw error;
    errors.push(error);
    return null;
  }
  if (!/[.eE]/.test(digits) && digits.length <= 20 && !Number.isSafeInteger(number)) {
    const exact = BigInt(digits);
    if (exact >= I64_MIN && exact <= U64_MAX) return exact;
  }
  return number;
}

/** Compact JSON with raw UTF-8 (ENV-W2, ENV-W3) of what `toPlain` gives, or of plain objects. */
export function compact(value) {
  if (typeof value === "string") {
    if (!value.isWellFormed()) throw new PeerError("ENV-W3", "a string holds a lone surrogate");
    return JSON.stringify(value);
  }
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new PeerError("ENV-W7", "JSON has no such number");
  }
  if (Array.isArray(value)) return `[${value.map(compact).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const members = value instanceof Map ? [...value] : Object.entries(value);
    return `{${members.map(([key, member]) => `${compact(key)}:${compact(member)}`).join(",")}}`;
  }
  return JSON.stringify(value ?? null);
}

/** Where UTF-8 first breaks, by the byte ranges of the Unicode standard. */
export function firstInvalidUtf8(text) {
  let at = 0;
  while (at < text.length) {
    const lead = text[at];
    let more = 0, low = 0x80, high = 0xbf;
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
      const byte = text[at + i];
      if (byte === undefined || byte < low || byte > high) return at;
      low = 0x80;
      high = 0xbf;
    }
    at += more + 1;
  }
  return at;
}
