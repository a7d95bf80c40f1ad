// Strict JSON (ENV-R1, ENV-R2, TYPE-4): a scanner that keeps byte offsets, values, and a writer.
//
// JSON.parse accepts all that RFC 8259 does, but it hides duplicate keys and offsets, rounds integers above
// 2^53, turns 1e400 into Infinity, and knows no depth.

import { firstInvalidUtf8, textOf, utf8 } from "./bytes.js";
import { NatsBridgeError } from "./errors.js";

/** The deepest nesting that is read or written; the outermost value is depth 1. */
export const MAX_DEPTH = 128;

const I64_MIN = -(2n ** 63n);
const U64_MAX = 2n ** 64n - 1n;
const QUOTE = 0x22,
  BACKSLASH = 0x5c,
  COMMA = 0x2c,
  COLON = 0x3a;
const OPEN_BRACE = 0x7b,
  CLOSE_BRACE = 0x7d,
  OPEN_BRACKET = 0x5b,
  CLOSE_BRACKET = 0x5d;
const SHORT = new Map([...'"\\/bfnrt'].map((c, i) => [c.charCodeAt(0), '"\\/\b\f\n\r\t'[i]]));
const LITERALS = new Map([
  [0x74, "true"],
  [0x66, "false"],
  [0x6e, "null"],
]);
const LITERAL_VALUES = { true: true, false: false, null: null };

/**
 * Reads JSON text from its bytes, once, from left to right. What is not asked for is skipped, checked all the
 * same, and takes no memory.
 */
export class Scanner {
  /** `kind` and `clause` are those of its errors; the bytes must be valid UTF-8 as a whole. */
  constructor(bytes, { kind = "malformed", clause = "ENV-R1", depthClause = "ENV-R2" } = {}) {
    this.bytes = bytes;
    this.at = 0;
    this.kind = kind;
    this.clause = clause;
    this.depthClause = depthClause;
    if (textOf(bytes) === null) this.fail("invalid UTF-8", firstInvalidUtf8(bytes));
  }

  fail(message, offset = this.at) {
    throw new NatsBridgeError(this.kind, message, { clause: this.clause, offset });
  }

  /** The whole text is one value: `read` takes it, and nothing may follow. */
  whole(read) {
    this.space();
    const value = read();
    this.space();
    if (this.at !== this.bytes.length) this.fail("bytes after the value");
    return value;
  }

  space() {
    const { bytes } = this;
    while (
      bytes[this.at] === 0x20 ||
      bytes[this.at] === 0x0a ||
      bytes[this.at] === 0x0d ||
      bytes[this.at] === 0x09
    )
      this.at++;
  }

  /** What begins here: "object", "array", "string", "boolean", "null", or "number" for all the rest. */
  peek() {
    switch (this.bytes[this.at]) {
      case OPEN_BRACE:
        return "object";
      case OPEN_BRACKET:
        return "array";
      case QUOTE:
        return "string";
      case 0x74:
      case 0x66:
        return "boolean";
      case 0x6e:
        return "null";
      default:
        return "number";
    }
  }

  /** Calls `member(key, keyAt)` for each; it must read the value. */
  object(depth, member) {
    this.#items(depth, CLOSE_BRACE, () => {
      const keyAt = this.at;
      if (this.bytes[this.at] !== QUOTE) this.fail("expected a key");
      const key = this.string();
      this.space();
      if (this.bytes[this.at] !== COLON) this.fail("expected a colon");
      this.at++;
      this.space();
      member(key, keyAt);
    });
  }

  /** Calls `item()` for each; it must read the value. */
  array(depth, item) {
    this.#items(depth, CLOSE_BRACKET, item);
  }

  #items(depth, close, item) {
    if (depth > MAX_DEPTH) {
      throw new NatsBridgeError("limit", "nested too deeply", {
        clause: this.depthClause,
        offset: this.at,
        limit: MAX_DEPTH,
      });
    }
    this.at++;
    this.space();
    if (this.bytes[this.at] === close) {
      this.at++;
      return;
    }
    for (;;) {
      this.space();
      item();
      this.space();
      if (this.bytes[this.at] === close) {
        this.at++;
        return;
      }
      if (this.bytes[this.at] !== COMMA) this.fail("expected a comma");
      this.at++;
    }
  }

  /** A string's text. */
  string() {
    const span = this.stringSpan();
    return this.textOf(span);
  }

  /** Where a string's content is, checked: { from, to, escaped }. Nothing is decoded yet. */
  stringSpan() {
    const { bytes } = this;
    const from = ++this.at;
    let escaped = false;
    for (;;) {
      let at = this.at;
      let byte = bytes[at];
      while (byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH) byte = bytes[++at];
      this.at = at;
      if (byte === QUOTE) {
        this.at++;
        return { from, to: at, escaped };
      }
      if (at >= bytes.length) this.fail("the string does not end");
      if (byte !== BACKSLASH) this.fail("a raw control character in a string");
      escaped = true;
      this.#escape();
    }
  }

  /** The text of a string, its escapes resolved. */
  textOf({ from, to, escaped }) {
    if (!escaped) return textOf(this.bytes.subarray(from, to));
    const end = this.at;
    const parts = [];
    this.at = from;
    while (this.at < to) {
      const start = this.at;
      while (this.at < to && this.bytes[this.at] !== BACKSLASH) this.at++;
      parts.push(textOf(this.bytes.subarray(start, this.at)));
      if (this.at < to) parts.push(this.#escape());
    }
    this.at = end;
    return parts.join("");
  }

  /** Where byte `offset` of a string's text, in UTF-8, stands in the input. */
  positionOf({ from, to, escaped }, offset) {
    if (!escaped) return from + offset;
    const end = this.at;
    this.at = from;
    let left = offset;
    while (this.at < to && left > 0) {
      if (this.bytes[this.at] === BACKSLASH) left -= utf8(this.#escape()).length;
      else {
        this.at++;
        left--;
      }
    }
    const position = this.at;
    this.at = end;
    return position;
  }

  #escape() {
    const start = this.at;
    const letter = this.bytes[start + 1];
    if (letter !== 0x75) {
      if (!SHORT.has(letter)) this.fail("an unknown escape");
      this.at += 2;
      return SHORT.get(letter);
    }
    const first = this.#hex4(start);
    if (first < 0xd800 || first > 0xdfff) return String.fromCharCode(first);
    if (first >= 0xdc00 || this.bytes[this.at] !== BACKSLASH || this.bytes[this.at + 1] !== 0x75)
      this.fail("a lone surrogate", start);
    const second = this.#hex4(this.at);
    if (second < 0xdc00 || second > 0xdfff) this.fail("a lone surrogate", start);
    return String.fromCharCode(first, second);
  }

  #hex4(start) {
    const digits = String.fromCharCode(...this.bytes.subarray(start + 2, start + 6));
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail("a broken \\u escape", start);
    this.at = start + 6;
    return parseInt(digits, 16);
  }

  /** A number's text, as it stands. */
  number() {
    const start = this.at;
    const digits = () => {
      const from = this.at;
      while (this.bytes[this.at] >= 0x30 && this.bytes[this.at] <= 0x39) this.at++;
      return this.at - from;
    };
    if (this.bytes[this.at] === 0x2d) this.at++;
    if (this.bytes[this.at] === 0x30) this.at++;
    else if (digits() === 0) this.fail("expected a value", start);
    if (this.bytes[this.at] === 0x2e) {
      this.at++;
      if (digits() === 0) this.fail("a broken number");
    }
    if (this.bytes[this.at] === 0x65 || this.bytes[this.at] === 0x45) {
      this.at++;
      if (this.bytes[this.at] === 0x2b || this.bytes[this.at] === 0x2d) this.at++;
      if (digits() === 0) this.fail("a broken number");
    }
    return textOf(this.bytes.subarray(start, this.at));
  }

  literal() {
    const word = LITERALS.get(this.bytes[this.at]);
    for (let i = 0; i < word.length; i++) {
      if (this.bytes[this.at + i] !== word.charCodeAt(i)) this.fail("expected a value");
    }
    this.at += word.length;
    return LITERAL_VALUES[word];
  }

  /** Skips a value that stands at `depth`: checked, not built. */
  skip(depth) {
    switch (this.peek()) {
      case "object":
        this.object(depth, () => this.skip(depth + 1));
        break;
      case "array":
        this.array(depth, () => this.skip(depth + 1));
        break;
      case "string":
        this.stringSpan();
        break;
      case "number":
        this.number();
        break;
      default:
        this.literal();
    }
  }

  /**
   * A value as JavaScript has it. Of a key that comes twice the last value counts; integers that fit 64 bits
   * are exact, as BigInts where a number cannot hold them. With `maps` objects are Maps, which keep the order
   * of all keys (a plain object moves keys such as "1" to its front).
   */
  value(depth, options) {
    switch (this.peek()) {
      case "object": {
        const map = new Map();
        this.object(depth, (key) => {
          map.set(key, this.value(depth + 1, options));
        });
        return options.maps ? map : plainObject(map);
      }
      case "array": {
        const list = [];
        this.array(depth, () => list.push(this.value(depth + 1, options)));
        return list;
      }
      case "string":
        return this.string();
      case "number":
        return this.#numberValue(options);
      default:
        return this.literal();
    }
  }

  #numberValue({ overflow }) {
    const start = this.at;
    const digits = this.number();
    const number = Number(digits);
    if (!Number.isFinite(number)) {
      const error = new NatsBridgeError("invalid_json", "a number overflows a double", {
        clause: "TYPE-4",
        offset: start,
      });
      return overflow(error);
    }
    if (!/[.eE]/.test(digits) && digits.length <= 20 && !Number.isSafeInteger(number)) {
      const exact = BigInt(digits);
      if (exact >= I64_MIN && exact <= U64_MAX) return exact;
    }
    return number;
  }
}

/** An own property for every key, `__proto__` too. */
function plainObject(map) {
  const object = {};
  for (const [key, value] of map) {
    if (key === "__proto__")
      Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
    else object[key] = value;
  }
  return object;
}

/**
 * The value of JSON text (TYPE-4).
 *
 * @param {Uint8Array} bytes
 * @param {{ maps?: boolean }} [options] `maps`: objects as Maps, in the order of the text
 */
export function readJson(bytes, { maps = false } = {}) {
  const scanner = new Scanner(bytes, { kind: "invalid_json", clause: "TYPE-4", depthClause: "TYPE-4" });
  return scanner.whole(() => scanner.value(1, { maps, overflow }));
}

/** The same for a list of row objects (TYPE-5). */
export function readJsonRows(bytes, { maps = false } = {}) {
  const scanner = new Scanner(bytes, { kind: "invalid_json", clause: "TYPE-5", depthClause: "TYPE-4" });
  return scanner.whole(() => {
    if (scanner.peek() !== "array") scanner.fail("the rows are not an array");
    const rows = [];
    scanner.array(1, () => {
      if (scanner.peek() !== "object") scanner.fail("a row is not an object");
      rows.push(scanner.value(2, { maps, overflow }));
    });
    return rows;
  });
}

function overflow(error) {
  throw error;
}

/**
 * Compact JSON with raw UTF-8 (ENV-W2, ENV-W3) of what JSON.stringify takes, and of Maps and BigInts. What
 * JSON cannot say is refused, not silently changed: NaN, infinities, lone surrogates, cycles, more than 128
 * levels.
 */
export function writeJson(value) {
  const text = jsonText(value);
  if (text === undefined) throw unwritable("JSON has no such value");
  return text;
}

function jsonText(value, depth = 1) {
  if (value !== null && typeof value === "object" && typeof value.toJSON === "function")
    value = value.toJSON();
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) throw unwritable("a string holds a lone surrogate");
      return JSON.stringify(value);
    case "bigint":
      return value.toString();
    case "number":
      if (!Number.isFinite(value)) throw unwritable(`JSON has no number ${value}`);
      return JSON.stringify(value);
    case "boolean":
      return String(value);
    case "object":
      return value === null ? "null" : nestedText(value, depth);
    default:
      return undefined; // left out of objects, null in arrays, as JSON.stringify has it
  }
}

function nestedText(value, depth) {
  if (depth > MAX_DEPTH) throw unwritable(`nested deeper than ${MAX_DEPTH}`);
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) throw unwritable("JSON has no bytes");
  if (Array.isArray(value)) return `[${value.map((item) => jsonText(item, depth + 1) ?? "null").join(",")}]`;
  const members = [];
  for (const [key, member] of value instanceof Map ? value : Object.entries(value)) {
    const text = jsonText(member, depth + 1);
    if (text !== undefined) members.push(`${jsonText(String(key))}:${text}`);
  }
  return `{${members.join(",")}}`;
}

function unwritable(message) {
  return new NatsBridgeError("invalid_input", message, { clause: "TYPE-4" });
}

/** The same as UTF-8. */
export function writeJsonBytes(value) {
  return utf8(writeJson(value));
}
