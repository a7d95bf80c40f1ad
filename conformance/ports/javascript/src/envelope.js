// The envelope: its keys in both dialects, reading and writing (ENV-, DATA-).

import { decodeBase64, encodeBase64, encodedLength } from "./base64.js";
import { bytesOf, concat, utf8 } from "./bytes.js";
import { NatsBridgeError } from "./errors.js";
import { Scanner, writeJson } from "./json.js";
import { MESSAGE_LIMIT, PAYLOAD_COUNT_LIMIT } from "./limits.js";

const PAIRS = [
  ["correlationId", "correlation_id"],
  ["msgId", "msg_id"],
  ["timestamp", "timestamp"],
  ["sendTo", "send_to"],
  ["msgPurpose", "msg_purpose"],
  ["senderName", "sender_name"],
  ["senderId", "sender_id"],
  ["receiverName", "receiver_name"],
  ["receiverId", "receiver_id"],
  ["replyTo", "reply_to"],
  ["replyToMsgId", "reply_to_msg_id"],
  ["brokerURL", "broker_url"],
];

/** The twelve string fields, under their camelCase names, in writing order. */
export const FIELDS = PAIRS.map(([camel]) => camel);

// spelling -> { name, the dialect it speaks for, or null }
const MESSAGE_KEYS = new Map([
  ["BrokerURL", { name: "brokerURL", dialect: "camel" }],
  ["metadata", { name: "metadata", dialect: null }],
  ["payloads", { name: "payloads", dialect: null }],
]);
for (const [camel, snake] of PAIRS) {
  MESSAGE_KEYS.set(camel, { name: camel, dialect: camel === snake ? null : "camel" });
  if (camel !== snake) MESSAGE_KEYS.set(snake, { name: camel, dialect: "snake" });
}
const PAYLOAD_KEYS = new Map(
  ["id", "dataname", "transport", "encoding", "size", "data", "metadata"].map((name) => [
    name,
    { name, dialect: null },
  ]),
);
PAYLOAD_KEYS.set("type", { name: "type", dialect: "camel" });
PAYLOAD_KEYS.set("payload_type", { name: "type", dialect: "snake" });

const INLINE_TYPES = new Set(["dictionary", "table", "arrowtable", "jsontable"]);
const MAX_SIZE = 2n ** 63n - 1n;

// --- reading -------------------------------------------------------------------------------

/**
 * Reads a message body: { dialect, the twelve fields, metadata, payloads }. A payload that cannot be read has
 * its
 * `error`; the others are fine. Nothing is decoded and nothing is fetched: see `directBytes` and `download`.
 *
 * @param {Uint8Array} body
 * @param {{ messageLimit?: number, payloadLimit?: number, maps?: boolean }} [options]
 *   `maps`: metadata as Maps, in the order of the text
 * @throws {NatsBridgeError} what fails the whole message: `malformed`, `limit`
 */
export function decodeEnvelope(
  body,
  { messageLimit = MESSAGE_LIMIT, payloadLimit = PAYLOAD_COUNT_LIMIT, maps = false } = {},
) {
  body = bytesOf(body);
  if (body.length > messageLimit) {
    throw new NatsBridgeError("limit", `the message has ${body.length} bytes, the limit is ${messageLimit}`, {
      needed: body.length,
      limit: messageLimit,
    });
  }
  return new EnvelopeReader(new Scanner(body), payloadLimit, maps).read();
}

class EnvelopeReader {
  dialect = null;

  constructor(scanner, payloadLimit, maps) {
    this.scanner = scanner;
    this.payloadLimit = payloadLimit;
    this.maps = maps;
  }

  read() {
    const { scanner } = this;
    return scanner.whole(() => {
      const start = scanner.at;
      if (scanner.peek() !== "object") {
        scanner.skip(1); // the whole text is checked before its kind is
        throw malformed("ENV-1", "the message is not an object", start);
      }
      const fields = Object.fromEntries(FIELDS.map((name) => [name, ""]));
      let metadata = this.maps ? new Map() : {};
      let payloads = null;
      this.#members(1, MESSAGE_KEYS, (name, at) => {
        const kind = scanner.peek();
        const wrong = (what) => malformed("ENV-R7", `${name} is not ${what}`, at);
        if (kind === "null") {
          scanner.literal();
        } else if (name === "metadata") {
          if (kind !== "object") throw wrong("an object");
          metadata = this.#metadata(2);
        } else if (name === "payloads") {
          if (kind !== "array") throw wrong("an array");
          payloads = this.#payloads();
        } else {
          if (kind !== "string") throw wrong("a string");
          fields[name] = scanner.string();
        }
      });
      if (payloads === null) throw malformed("ENV-R3", "no payloads", start);
      return { dialect: this.dialect ?? "camel", ...fields, metadata, payloads };
    });
  }

  /** Calls `member(name, where its value begins)` for each known key, and skips the others. */
  #members(depth, known, member) {
    const seen = new Set();
    this.scanner.object(depth, (key, keyAt) => {
      const found = known.get(key);
      if (!found) {
        this.scanner.skip(depth + 1);
        return;
      }
      if (seen.has(found.name)) throw malformed("ENV-R5", `${found.name} comes twice`, keyAt);
      seen.add(found.name);
      this.dialect ??= found.dialect; // ENV-R6: the first in the text decides
      member(found.name, this.scanner.at);
    });
  }

  #metadata(depth) {
    // TYPE-4 would refuse a number above every double; metadata fails nothing, so it reads as null.
    return this.scanner.value(depth, { maps: this.maps, overflow: () => null });
  }

  #payloads() {
    const { scanner } = this;
    const payloads = [];
    scanner.array(2, () => {
      if (payloads.length === this.payloadLimit) {
        throw new NatsBridgeError("limit", `more than ${this.payloadLimit} payloads`, {
          offset: scanner.at,
          needed: this.payloadLimit + 1,
          limit: this.payloadLimit,
        });
      }
      payloads.push(this.#payload());
    });
    return payloads;
  }

  #payload() {
    const { scanner } = this;
    const start = scanner.at;
    const payload = {
      id: "",
      dataname: "",
      type: "",
      transport: "",
      encoding: "",
      size: null,
      metadata: this.maps ? new Map() : {},
      url: null,
      error: null,
    };
    let data = { kind: "null" };
    let transportAt = start;
    // The first thing that is wrong is kept: the rest of the entry must still be valid JSON.
    const wrong = (clause, message, offset) => {
      payload.error ??= new NatsBridgeError("invalid_payload", message, { clause, offset });
    };
    if (scanner.peek() !== "object") {
      scanner.skip(3);
      wrong("ENV-R7", "the payload is not an object", start);
      return payload;
    }
    this.#members(3, PAYLOAD_KEYS, (name, at) => {
      const kind = scanner.peek();
      if (name === "data") {
        const span = kind === "string" ? scanner.stringSpan() : scanner.skip(4);
        data = { kind, at, end: scanner.at, span };
      } else if (kind === "null") {
        scanner.literal();
      } else if (name === "size") {
        if (kind === "number")
          payload.size = sizeOf(scanner.number(), () => wrong("ENV-R9", "size is out of range", at));
        else {
          scanner.skip(4);
          wrong("ENV-R7", "size is not a number", at);
        }
      } else if (name === "metadata") {
        if (kind === "object") payload.metadata = this.#metadata(4);
        else {
          scanner.skip(4);
          wrong("ENV-R7", "metadata is not an object", at);
        }
      } else if (kind === "string") {
        payload[name] = scanner.string();
        if (name === "transport") transportAt = at;
      } else {
        scanner.skip(4);
        wrong("ENV-R7", `${name} is not a string`, at);
      }
    });
    for (const name of ["type", "transport"]) {
      if (payload[name] === "") wrong("ENV-R8", `no ${name}`, start);
    }
    if (payload.transport !== "direct" && payload.transport !== "link")
      wrong("ENV-R8", "unknown transport", transportAt);
    if (data.kind === "null") wrong("ENV-R8", "no data", start);
    if (payload.error === null) this.#data(payload, data, wrong);
    return payload;
  }

  #data(payload, { kind, at, end, span }, wrong) {
    const { scanner } = this;
    if (payload.transport === "link") {
      const url = kind === "string" ? scanner.textOf(span) : "";
      if (kind !== "string") wrong("LINK-1", "the link is not a string", at);
      else if (!/^https?:\/\/[^/?#]/i.test(url)) wrong("LINK-1", "the link is not an http or https URL", at);
      else payload.url = url;
    } else if (kind === "string") {
      // Views of the message: nothing is copied unless there are escapes.
      const text = span.escaped ? utf8(scanner.textOf(span)) : scanner.bytes.subarray(span.from, span.to);
      DATA.set(payload, { text, scanner, span });
    } else if ((kind === "object" || kind === "array") && INLINE_TYPES.has(payload.type)) {
      DATA.set(payload, { inline: scanner.bytes.subarray(at, end) });
    } else {
      wrong(
        "DATA-4",
        `data of a ${INLINE_TYPES.has(payload.type) ? payload.type : "payload"} is ${kind}`,
        at,
      );
    }
  }
}

// What `data` of a direct payload is: { text, and the span it comes from } or { inline }.
const DATA = new WeakMap();

/**
 * The raw bytes of a direct payload (DATA-1, DATA-2).
 *
 * @throws {NatsBridgeError} the payload's own error, or `invalid_base64`
 */
export function directBytes(payload) {
  if (payload.error) throw payload.error;
  const data = DATA.get(payload);
  if (!data) throw new NatsBridgeError("invalid_input", "not a direct payload of a message that was read");
  if (data.inline) return data.inline;
  if (INLINE_TYPES.has(payload.type) && beginsWith(data.text, "{[")) return data.text;
  try {
    return decodeBase64(data.text);
  } catch (error) {
    error.dataOffset = error.offset;
    error.offset = data.scanner.positionOf(data.span, error.offset);
    throw error;
  }
}

/** Whether the first byte after JSON's white space is one of these (DATA-3). */
export function beginsWith(bytes, characters) {
  let at = 0;
  while (bytes[at] === 0x20 || bytes[at] === 0x09 || bytes[at] === 0x0a || bytes[at] === 0x0d) at++;
  return at < bytes.length && characters.includes(String.fromCharCode(bytes[at]));
}

/** ENV-R9: the exact value counts, not the spelling. A hostile exponent is never computed. */
function sizeOf(text, refuse) {
  const [, sign, whole, fraction = "", exponent = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(
    text,
  );
  const digits = (whole + fraction).replace(/^0+/, "");
  if (digits === "") return 0;
  const significant = digits.replace(/0+$/, "");
  // The value is significant * 10^power; an exponent too long for a number becomes an infinity.
  const power = Number(exponent) - fraction.length + (digits.length - significant.length);
  const inRange = sign === "" && power >= 0 && significant.length + power <= 19;
  const size = inRange ? BigInt(significant) * 10n ** BigInt(power) : MAX_SIZE + 1n;
  if (size > MAX_SIZE) {
    refuse();
    return null;
  }
  return size <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(size) : size;
}

function malformed(clause, message, offset) {
  return new NatsBridgeError("malformed", message, { clause, offset });
}

// --- writing -------------------------------------------------------------------------------

/** TYPE-2. */
export function writtenType(type, dialect) {
  if (type === "table" || type === "arrowtable") return dialect === "camel" ? "table" : "arrowtable";
  return type;
}

/**
 * A message body (section 3): all keys, always, in order, compact, raw UTF-8. The same input gives the same
 * bytes: ids and the time are the caller's.
 *
 * `envelope` is { dialect, the twelve fields, metadata, payloads }; a payload is { id, dataname, type,
 * metadata } with
 * `bytes` (direct) or with `url` and `size` (link).
 */
export function encodeEnvelope(envelope) {
  const pieces = [utf8(head(envelope))];
  envelope.payloads.forEach((payload, index) => {
    const [before, after] = entry(envelope.dialect, payload);
    const data =
      payload.url === undefined || payload.url === null
        ? encodeBase64(payload.bytes)
        : utf8(writeJson(payload.url).slice(1, -1));
    pieces.push(utf8((index === 0 ? "" : ",") + before), data, utf8(after));
  });
  pieces.push(utf8("]}"));
  return concat(pieces);
}

/** The exact length of a message without its payloads and the commas between them. */
export function baseLength(envelope) {
  return utf8(head(envelope)).length + "]}".length;
}

/** The exact length of a payload's entry, without its data: what `data` takes comes on top. */
export function entryLength(dialect, payload) {
  return utf8(entry(dialect, payload).join("")).length;
}

/** The exact length of a direct payload's entry. */
export function directLength(dialect, payload) {
  return entryLength(dialect, payload) + encodedLength(payload.bytes.length);
}

function head({ dialect, metadata, ...envelope }) {
  checkDialect(dialect);
  const fields = PAIRS.map(([camel, snake]) => {
    const value = envelope[camel] ?? "";
    if (typeof value !== "string")
      throw new NatsBridgeError("invalid_input", `${camel} is not a string`, { clause: "ENV-3" });
    return `"${dialect === "camel" ? camel : snake}":${writeJson(value)}`;
  });
  return `{${fields.join(",")},"metadata":${metadataText(metadata)},"payloads":[`;
}

/** The text of a payload's entry before and after its data. */
function entry(dialect, { id = "", dataname = "", type, metadata, bytes, url, size }) {
  if (typeof type !== "string" || type === "")
    throw new NatsBridgeError("invalid_input", "a payload has no type", { clause: "TYPE-1" });
  if (typeof id !== "string" || typeof dataname !== "string") {
    throw new NatsBridgeError("invalid_input", "a payload's id and dataname are strings", {
      clause: "ENV-4",
    });
  }
  const isLink = url !== undefined && url !== null;
  const key = dialect === "camel" ? "type" : "payload_type";
  const before =
    `{"id":${writeJson(id)},"dataname":${writeJson(dataname)},` +
    `"${key}":${writeJson(writtenType(type, dialect))},` +
    `"transport":"${isLink ? "link" : "direct"}","encoding":"${isLink ? "none" : "base64"}",` +
    `"size":${isLink ? size : bytes.length},"data":"`;
  return [before, `","metadata":${metadataText(metadata)}}`];
}

function metadataText(metadata) {
  const text = writeJson(metadata ?? {});
  if (!text.startsWith("{"))
    throw new NatsBridgeError("invalid_input", "metadata is not an object", { clause: "ENV-3" });
  return text;
}

function checkDialect(dialect) {
  if (dialect !== "camel" && dialect !== "snake") {
    throw new NatsBridgeError("invalid_input", "the dialect is camel or snake", { clause: "ENV-5" });
  }
}
