// The envelope: its keys in both dialects, reading and writing (ENV-, DATA-, B64-).

import { PeerError, compact, parse, toPlain } from "./strict_json.mjs";

const pairs = [
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

/** The twelve string fields, under their camelCase names. */
export const FIELDS = pairs.map(([camel]) => camel);

// spelling -> { name, dialect it speaks for, or null }
const MESSAGE_KEYS = new Map([
  ["BrokerURL", { name: "brokerURL", dialect: "camel" }],
  ["metadata", { name: "metadata", dialect: null }],
  ["payloads", { name: "payloads", dialect: null }],
]);
for (const [camel, snake] of pairs) {
  MESSAGE_KEYS.set(camel, { name: camel, dialect: camel === snake ? null : "camel" });
  if (camel !== snake) MESSAGE_KEYS.set(snake, { name: camel, dialect: "snake" });
}
const PAYLOAD_KEYS = new Map(
  ["id", "dataname", "transport", "encoding", "size", "data", "metadata"].map((name) => [name, { name, dialect: null }]),
);
PAYLOAD_KEYS.set("type", { name: "type", dialect: "camel" });
PAYLOAD_KEYS.set("payload_type", { name: "type", dialect: "snake" });

const INLINE_TYPES = new Set(["dictionary", "table", "arrowtable", "jsontable"]);
const MAX_SIZE = 2n ** 63n - 1n;

/** Reads a message body, or throws the PeerError that fails the whole message. */
export function decode(text) {
  const root = parse(text);
  if (root.kind !== "object") throw new PeerError("ENV-1", "the message is not an object", root.start);
  const top = knownMembers(root, MESSAGE_KEYS);
  const list = top.members.get("payloads");
  if (!list || list.kind === "null") throw new PeerError("ENV-R3", "no payloads", list?.start ?? root.start);
  if (list.kind !== "array") throw new PeerError("ENV-R7", "payloads is not an array", list.start);
  const fields = Object.fromEntries(FIELDS.map((name) => [name, stringOf(top.members.get(name), name)]));
  const metadata = metadataOf(top.members.get("metadata"));

  const spoken = top.spoke ? [top.spoke] : [];
  const payloads = list.held.map((item) => {
    if (item.kind !== "object") {
      return { ...emptyPayload(), error: new PeerError("ENV-R7", "the payload is not an object", item.start) };
    }
    const known = knownMembers(item, PAYLOAD_KEYS);
    if (known.spoke) spoken.push(known.spoke);
    return readPayload(item, known.members, text);
  });
  spoken.sort((a, b) => a.at - b.at);
  return { dialect: spoken[0]?.dialect ?? "camel", fields, metadata, payloads };
}

function knownMembers(object, table) {
  const members = new Map();
  let spoke = null;
  for (const { key, at, value } of object.held) {
    const known = table.get(key);
    if (!known) continue;
    if (members.has(known.name)) throw new PeerError("ENV-R5", `${known.name} comes twice`, at);
    members.set(known.name, value);
    if (known.dialect && !spoke) spoke = { at, dialect: known.dialect };
  }
  return { members, spoke };
}

function stringOf(value, name) {
  if (!value || value.kind === "null") return "";
  if (value.kind !== "string") throw new PeerError("ENV-R7", `${name} is not a string`, value.start);
  return value.held;
}

function metadataOf(value) {
  if (!value || value.kind === "null") return new Map();
  if (value.kind !== "object") throw new PeerError("ENV-R7", "metadata is not an object", value.start);
  return toPlain(value, []);
}

function emptyPayload() {
  return {
    id: "", dataname: "", type: "", transport: "", encoding: "", size: null,
    data: null, // the JSON string
    inline: null, // the slice, where `data` is an object or array
    metadata: new Map(),
    error: null,
  };
}

function readPayload(item, members, text) {
  const payload = emptyPayload();
  try {
    for (const name of ["id", "dataname", "type", "transport", "encoding"]) {
      payload[name] = stringOf(members.get(name), name);
    }
    payload.metadata = metadataOf(members.get("metadata"));
    payload.size = sizeOf(members.get("size"));
    for (const name of ["type", "transport"]) {
      if (payload[name] === "") throw new PeerError("ENV-R8", `no ${name}`, item.start);
    }
    if (payload.transport !== "direct" && payload.transport !== "link") {
      throw new PeerError("ENV-R8", "unknown transport", members.get("transport").start);
    }
    readData(payload, members.get("data"), item, text);
  } catch (error) {
    if (!(error instanceof PeerError)) throw error;
    payload.error = error;
  }
  return payload;
}

function readData(payload, value, item, text) {
  if (!value || value.kind === "null") throw new PeerError("ENV-R8", "no data", item.start);
  const isLink = payload.transport === "link";
  if (value.kind === "string") {
    payload.data = value.held;
    if (isLink && !/^https?:\/\//i.test(value.held)) {
      throw new PeerError("LINK-1", "the link is not an http or https URL", value.start);
    }
  } else if (isLink) {
    throw new PeerError("LINK-1", "the link is not a string", value.start);
  } else if ((value.kind === "object" || value.kind === "array") && INLINE_TYPES.has(payload.type)) {
    payload.inline = text.subarray(value.start, value.end);
  } else {
    throw new PeerError("DATA-4", `data of a ${payload.type} is ${value.kind}`, value.start);
  }
}

/** ENV-R9: the exact value counts, not the spelling. A hostile exponent is never computed. */
function sizeOf(value) {
  if (!value || value.kind === "null") return null;
  if (value.kind !== "number") throw new PeerError("ENV-R7", "size is not a number", value.start);
  const [, sign, whole, fraction = "", exponent = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(value.held);
  const digits = (whole + fraction).replace(/^0+/, "");
  if (digits === "") return 0n;
  const significant = digits.replace(/0+$/, "");
  // The value is significant * 10^power; an exponent too long for a number becomes an infinity.
  const power = Number(exponent) - fraction.length + (digits.length - significant.length);
  const inRange = sign === "" && power >= 0 && significant.length + power <= 19;
  const size = inRange ? BigInt(significant) * 10n ** BigInt(power) : MAX_SIZE + 1n;
  if (size > MAX_SIZE) throw new PeerError("ENV-R9", "size is out of range", value.start);
  return size;
}

/** The raw bytes of a direct payload (DATA-1, DATA-2). */
export function directBytes(payload) {
  if (payload.inline) return payload.inline;
  if (INLINE_TYPES.has(payload.type) && /^[ \t\n\r]*[{[]/.test(payload.data)) return Buffer.from(payload.data);
  return decodeBase64(payload.data);
}

/** Section 7. Buffer.from takes anything, so everything is checked before it. */
export function decodeBase64(data) {
  const body = data.endsWith("\r\n") ? data.slice(0, -2) : data.endsWith("\n") ? data.slice(0, -1) : data;
  const symbols = /^[A-Za-z0-9+/_-]*/.exec(body)[0];
  const end = symbols.length;
  const padding = /^=*/.exec(body.slice(end))[0].length;
  const junk = body.slice(end + padding);
  const standard = symbols.search(/[+/]/);
  const urlSafe = symbols.search(/[-_]/);
  if (standard >= 0 && urlSafe >= 0) throw new PeerError("B64-2", "two alphabets", Math.max(standard, urlSafe));
  if (padding === 0 && /^[^\r\n]/.test(junk)) {
    throw new PeerError("B64-4", "a character outside the alphabet", end);
  }
  // The symbols are at their end, whatever is wrong behind it.
  const over = end % 4;
  if (over === 1) throw new PeerError("B64-5", "a lone last character", end);
  const due = (4 - over) % 4;
  const raw = Buffer.from(symbols, "base64");
  if (over) {
    const tail = raw.subarray(raw.length - (raw.length % 3)).toString(urlSafe >= 0 ? "base64url" : "base64");
    if (tail[over - 1] !== symbols.at(-1)) throw new PeerError("B64-5", "left-over bits", end - 1);
  }
  if (padding !== 0 && padding !== due) throw new PeerError("B64-3", "wrong padding", end + Math.min(due, padding));
  if (junk !== "") throw new PeerError("B64-4", "a character outside the alphabet", end + padding);
  return raw;
}

/** TYPE-2. */
export function writtenType(type, dialect) {
  if (type === "table" || type === "arrowtable") return dialect === "camel" ? "table" : "arrowtable";
  return type;
}

/** One payload's JSON text, in the order of ENV-4. */
export function payloadEntry(dialect, payload) {
  return compact(new Map([
    ["id", payload.id],
    ["dataname", payload.dataname],
    [dialect === "camel" ? "type" : "payload_type", writtenType(payload.type, dialect)],
    ["transport", payload.transport],
    ["encoding", payload.transport === "direct" ? "base64" : "none"],
    ["size", payload.size ?? 0],
    ["data", payload.data],
    ["metadata", payload.metadata],
  ]));
}

/** Section 3: all keys, always, in order, compact, raw UTF-8. */
export function encode(envelope) {
  const head = pairs.map(([camel, snake]) => {
    const key = envelope.dialect === "camel" ? camel : snake;
    return `"${key}":${compact(envelope.fields[camel])}`;
  });
  const entries = envelope.payloads.map((payload) => payloadEntry(envelope.dialect, payload));
  return Buffer.from(`{${head.join(",")},"metadata":${compact(envelope.metadata)},"payloads":[${entries.join(",")}]}`);
}
