// What the testee can do, in terms of the port: one function an operation of the protocol.

import { Base64Decoder, Base64Encoder, decodeBase64, encodeBase64 } from "../src/base64.js";
import { download } from "../src/download.js";
import { FIELDS, decodeEnvelope, directBytes, encodeEnvelope } from "../src/envelope.js";
import { readJson } from "../src/json.js";
import { readValue, serialise } from "../src/payloads.js";
import { plan } from "../src/plan.js";
import { Plik, readUpload } from "../src/plik.js";
import { Policy } from "../src/policy.js";
import { generator, isRetryableStatus, retryDelay } from "../src/retry.js";
import { checkSubject, replyFields, replySubject } from "../src/subjects.js";
import { formatTimestamp, parseTimestamp } from "../src/timestamp.js";
import { verify } from "../src/verify.js";
import { Bridge, NatsBridgeError } from "../src/index.js";
import {
  concat,
  cut,
  readBytes,
  readInteger,
  readString,
  showBytes,
  showInteger,
  showJson,
  showString,
} from "./protocol.js";
import { showTable } from "./table_json.js";

/**
 * Runs one request; resolves to the reply without its `seq`. `ready` is called once a subscription is live.
 */
export async function run({ op, in: input, split, limits }, ready) {
  const operation = OPERATIONS[op];
  if (!operation) return { error: `no operation ${op}` };
  const pieces = split ? { pieces: split.length + 1 } : {};
  try {
    return { ok: await operation(input, { split, limits, ready }), ...pieces };
  } catch (error) {
    if (error instanceof NatsBridgeError) return { reject: showReject(error), ...pieces };
    return { error: `${error.stack ?? error}` };
  }
}

function showReject({ kind, message, offset, needed, limit }) {
  const reject = { kind: KINDS[kind] ?? kind, text: message };
  if (offset !== null) reject.offset = offset;
  if (needed !== undefined) reject.needed = showInteger(needed);
  if (limit !== undefined) reject.limit = showInteger(limit);
  return reject;
}

// What the protocol has no name of its own for.
const KINDS = {
  no_responders: "timeout",
  connection: "timeout",
  unconfirmed: "timeout",
  permission_denied: "invalid_subject",
};

const snakeOf = (name) =>
  name === "brokerURL" ? "broker_url" : name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const showFields = (envelope, names = FIELDS) =>
  Object.fromEntries(names.map((name) => [snakeOf(name), showString(envelope[name])]));

const readFields = (fields) =>
  Object.fromEntries(
    FIELDS.map((name) => [name, fields[snakeOf(name)]])
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, readString(value)]),
  );

const readMetadata = (value) =>
  value === undefined ? new Map() : readJson(readBytes(value), { maps: true });

const payloadHead = ({ id, dataname, type, transport, encoding, size, metadata }) => ({
  id: showString(id),
  dataname: showString(dataname),
  type: showString(type),
  transport: showString(transport),
  encoding: showString(encoding),
  size: showInteger(size),
  metadata: showJson(metadata),
});

async function showPayload(payload) {
  const head = payloadHead(payload);
  try {
    if (payload.error) throw payload.error;
    if (payload.transport === "link") return { ...head, url: showString(payload.url) };
    const bytes = directBytes(payload);
    await verify(payload, bytes);
    return { ...head, bytes: await showBytes(bytes) };
  } catch (error) {
    if (!(error instanceof NatsBridgeError)) throw error;
    return { ...head, reject: showReject(error) };
  }
}

/** A message with its links fetched. */
async function showReceived(received) {
  return {
    dialect: received.dialect,
    fields: showFields(received),
    metadata: showJson(received.metadata),
    payloads: await Promise.all(
      received.payloads.map(async (payload) => ({
        ...payloadHead(payload),
        ...(payload.error
          ? { reject: showReject(payload.error) }
          : { bytes: await showBytes(payload.bytes) }),
      })),
    ),
  };
}

// --- codec ---------------------------------------------------------------------------------

const OPERATIONS = {
  async "envelope.decode"({ body }, { limits = {} }) {
    const envelope = decodeEnvelope(readBytes(body), {
      maps: true,
      ...(limits.message_len === undefined ? {} : { messageLimit: readInteger(limits.message_len) }),
      ...(limits.payload_count === undefined ? {} : { payloadLimit: readInteger(limits.payload_count) }),
    });
    return {
      dialect: envelope.dialect,
      fields: showFields(envelope),
      metadata: showJson(envelope.metadata),
      payloads: await Promise.all(envelope.payloads.map(showPayload)),
    };
  },

  async "envelope.encode"({ dialect, fields, metadata, payloads }) {
    const body = encodeEnvelope({
      dialect,
      ...readFields(fields),
      metadata: readMetadata(metadata),
      payloads: payloads.map(({ id = "", dataname = "", type, metadata: own, data, url, size }) => ({
        id: readString(id),
        dataname: readString(dataname),
        type: readString(type),
        metadata: readMetadata(own),
        ...(data === undefined
          ? { url: readString(url), size: readInteger(size) }
          : { bytes: readBytes(data) }),
      })),
    });
    return { body: await showBytes(body) };
  },

  async "base64.encode"({ data }, { split }) {
    const bytes = readBytes(data);
    if (!split) return { data: await showBytes(encodeBase64(bytes)) };
    const encoder = new Base64Encoder();
    const pieces = cut(bytes, split).map((piece) => encoder.push(piece));
    return { data: await showBytes(concat([...pieces, encoder.finish()])) };
  },

  async "base64.decode"({ data }, { split }) {
    const characters = readBytes(data);
    if (!split) return { data: await showBytes(decodeBase64(characters)) };
    const decoder = new Base64Decoder();
    const pieces = cut(characters, split).map((piece) => decoder.push(piece));
    decoder.finish();
    return { data: await showBytes(concat(pieces)) };
  },

  async "payload.read"({ type, data }) {
    const { kind, value } = await readValue(readString(type), readBytes(data), { maps: true });
    switch (kind) {
      case "text":
        return { text: showString(value) };
      case "bytes":
        return { bytes: await showBytes(value) };
      case "table":
        return { table: showTable(value) };
      default:
        return { [kind]: showJson(value) };
    }
  },

  async "payload.write"({ type, text, json, rows, bytes }) {
    const value =
      text !== undefined
        ? readString(text)
        : bytes !== undefined
          ? readBytes(bytes)
          : readJson(readBytes(json ?? rows), { maps: true });
    return { data: await showBytes(await serialise(readString(type), value)) };
  },

  async "timestamp.parse"({ text }) {
    return { unix_ns: parseTimestamp(readString(text))?.toString() ?? null };
  },

  async "timestamp.write"({ unix_ms: unixMs }) {
    return { text: showString(formatTimestamp(Number(unixMs))) };
  },

  // --- rules -------------------------------------------------------------------------------

  async plan({ payloads, threshold, max_payload: maxPayload, base_len: baseLength, store }) {
    return {
      transports: plan({
        payloads: payloads.map(({ size, direct_len: directLength, link_len: linkLength }) => ({
          size: readInteger(size),
          directLength: readInteger(directLength),
          linkLength: linkLength === null ? null : readInteger(linkLength),
        })),
        threshold: readInteger(threshold),
        maxPayload: maxPayload === null ? null : readInteger(maxPayload),
        baseLength: readInteger(baseLength),
        hasStore: store,
      }),
    };
  },

  async "link.policy"({ url, origins }) {
    return { request: showString(new Policy(origins.map(readString)).check(readString(url))) };
  },

  async "retry.delay"({ retry, base_ms: baseDelay, max_ms: maxDelay, seed, retry_after_ms: after }) {
    return {
      ms: retryDelay(Number(retry), generator(seed), {
        baseDelay: Number(baseDelay),
        maxDelay: Number(maxDelay),
        retryAfterMs: Number(after ?? 0),
      }),
    };
  },

  async "retry.class"({ status, failure }) {
    if (status !== undefined) return { retry: isRetryableStatus(status) };
    return { retry: ["connect", "timeout", "cut_short"].includes(failure) };
  },

  async "plik.reply"({ server, upload, file }) {
    const { uploadid, fileid, url, token } = readUpload(
      readString(server),
      readBytes(upload),
      readBytes(file),
    );
    return {
      upload_id: showString(uploadid),
      file_id: showString(fileid),
      url: showString(url),
      token: showString(token),
    };
  },

  async "subject.check"({ subject, use }) {
    checkSubject(readString(subject), use);
    return {};
  },

  async "reply.plan"({ request, nats_reply: natsReply }) {
    const envelope = decodeEnvelope(readBytes(request));
    const subject = replySubject(natsReply === null ? "" : readString(natsReply), envelope.replyTo);
    if (subject === null) return { subject: null };
    const { dialect, ...fields } = replyFields(envelope);
    return { subject: showString(subject), dialect, fields: showFields(fields, Object.keys(fields)) };
  },

  // --- peers -------------------------------------------------------------------------------

  async "link.download"({
    url,
    origins,
    size = null,
    sha256 = null,
    max_retries: maxRetries,
    base_ms: baseDelay,
    max_ms: maxDelay,
  }) {
    const { bytes } = await download(
      {
        url: readString(url),
        transport: "link",
        size: size === null ? null : readInteger(size),
        metadata: sha256 === null ? {} : { sha256: readString(sha256) },
      },
      new Policy(origins.map(readString)),
      numbers({ maxRetries, baseDelay, maxDelay }),
    );
    return { bytes: await showBytes(bytes) };
  },

  async "link.upload"({ server, name, data, lifetime }) {
    const store = new Plik(
      readString(server),
      lifetime.one_shot ? { oneShot: true } : { ttl: Number(lifetime.ttl) },
    );
    const { url, uploadid, fileid } = await store.upload(readString(name), readBytes(data));
    return { url: showString(url), upload_id: showString(uploadid), file_id: showString(fileid) };
  },

  async "bridge.send"({ dialect, subject, payloads, options, ...input }) {
    return withBridge(input, async (bridge) => {
      const envelope = await bridge.send(readString(subject), payloads.map(readSent), {
        dialect,
        ...readOptions(options),
      });
      return { msg_id: showString(envelope.msgId) };
    });
  },

  async "bridge.receive"(input, { ready }) {
    return withBridge(input, async (bridge) => {
      const messages = await take(bridge, input, ready, (message) => bridge.receive(message));
      return { messages: await Promise.all(messages.map(showReceived)) };
    });
  },

  async "bridge.request"({ dialect, subject, payloads, options, timeout_ms: timeout, ...input }) {
    return withBridge(input, async (bridge) => {
      const sent = { dialect, timeout, maps: true, ...readOptions(options) };
      return {
        reply: await showReceived(await bridge.request(readString(subject), payloads.map(readSent), sent)),
      };
    });
  },

  async "bridge.respond"(input, { ready }) {
    return withBridge(input, async (bridge) => {
      const answered = await take(bridge, input, ready, async (message) => {
        const request = await bridge.receive(message);
        const echo = ({ dataname }) => ({ dataname, data: `echo:${dataname}`, type: "text" });
        return bridge.reply(request, request.payloads.map(echo));
      });
      return { answered: answered.length };
    });
  },
};

const numbers = (options) =>
  Object.fromEntries(
    Object.entries(options)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, Number(value)]),
  );

async function withBridge({ nats_url: natsUrl, server = null, origins = [] }, use) {
  const bridge = await Bridge.connect(readString(natsUrl), {
    fileserverUrl: server === null ? undefined : readString(server),
    allowOrigins: origins.map(readString),
    maps: true,
    nats: { reconnect: false },
  });
  try {
    return await use(bridge);
  } finally {
    await bridge.close();
  }
}

/** Takes `count` messages of a subscription, one after the other, within the time. */
async function take(bridge, { subject, count, timeout_ms: timeout }, ready, each) {
  const subscription = await bridge.subscribe(readString(subject), { max: count });
  ready();
  const timer = setTimeout(() => subscription.unsubscribe(), timeout);
  const results = [];
  try {
    for await (const message of subscription) results.push(await each(message));
  } finally {
    clearTimeout(timer);
  }
  if (results.length < count)
    throw new NatsBridgeError("timeout", `${results.length} of ${count} messages within ${timeout} ms`);
  return results;
}

function readSent({ dataname, type, data, json, text }) {
  const head = { dataname: readString(dataname), type: readString(type) };
  if (data !== undefined) return { ...head, bytes: readBytes(data) };
  return { ...head, data: text !== undefined ? readString(text) : readJson(readBytes(json), { maps: true }) };
}

const OPTIONS = [
  "correlation_id",
  "msg_purpose",
  "sender_name",
  "receiver_name",
  "receiver_id",
  "reply_to",
  "reply_to_msg_id",
];

function readOptions(options = {}) {
  const read = {};
  for (const name of OPTIONS) {
    if (options[name] !== undefined)
      read[name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase())] = readString(options[name]);
  }
  if (options.threshold !== undefined) read.sizeThreshold = readInteger(options.threshold);
  if (options.metadata !== undefined) read.metadata = readMetadata(options.metadata);
  return read;
}

/** The operations by name. */
export const SUPPORTS = Object.keys(OPERATIONS);
