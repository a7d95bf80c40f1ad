// A message on its way out: values to bytes, plan, uploads, envelope.

import { bytesOf, uuid } from "./bytes.js";
import { baseLength, directLength, encodeEnvelope, entryLength } from "./envelope.js";
import { NatsBridgeError } from "./errors.js";
import { DEFAULT_THRESHOLD, URL_LIMIT } from "./limits.js";
import { serialise } from "./payloads.js";
import { sha256 } from "#platform";
import { plan } from "./plan.js";
import { Plik } from "./plik.js";
import { parseLink } from "./policy.js";
import { checkSubject } from "./subjects.js";

const FIELD_OPTIONS = [
  "correlationId",
  "msgId",
  "timestamp",
  "sendTo",
  "msgPurpose",
  "senderName",
  "senderId",
  "receiverName",
  "receiverId",
  "replyTo",
  "replyToMsgId",
  "brokerURL",
];

/**
 * Plans, uploads and encodes one message. Nothing is uploaded unless the message will fit the server, and
 * nothing stays uploaded where it then does not.
 *
 * @returns {Promise<{ envelope: object, body: Uint8Array, undo: () => Promise<void> }>} `undo` deletes the
 *   uploads again, which is right as long as nobody has been handed the message
 */
export async function prepare(
  subject,
  payloads,
  { dialect = "camel", metadata = {}, sizeThreshold, maxPayload = null, store = null, ...options },
) {
  checkSubject(subject);
  if (!Array.isArray(payloads)) {
    throw new NatsBridgeError(
      "invalid_input",
      "payloads is a list of { dataname, data, type }, even for one",
      { clause: "FACADE-1" },
    );
  }
  const envelope = {
    dialect,
    correlationId: uuid(),
    msgId: uuid(),
    timestamp: new Date().toISOString(),
    sendTo: subject,
    msgPurpose: "chat",
    senderName: "NATSBridge",
    senderId: "",
    receiverName: "",
    receiverId: "",
    replyTo: "",
    replyToMsgId: "",
    brokerURL: "",
    metadata,
    payloads: [],
  };
  for (const name of FIELD_OPTIONS) envelope[name] = options[name] ?? envelope[name];
  const items = await Promise.all(payloads.map(itemOf));
  const transports = plan({
    payloads: items.map((item) => ({
      size: item.bytes.length,
      directLength: directLength(dialect, item),
      linkLength:
        store &&
        entryLength(dialect, linked(item, "", "0".repeat(64), "2000-01-01T00:00:00.000Z")) +
          store.urlBound(item.dataname),
    })),
    threshold: sizeThreshold ?? DEFAULT_THRESHOLD[dialect],
    maxPayload,
    baseLength: baseLength(envelope),
    hasStore: store !== null,
  });

  const uploads = [];
  const undo = async () => {
    // A failed clean-up never replaces the first error: the server deletes what is left when its time is
    // over.
    await Promise.allSettled(uploads.map((upload) => store.delete(upload)));
  };
  try {
    for (const [index, item] of items.entries()) {
      if (transports[index] === "direct") {
        envelope.payloads.push(item);
        continue;
      }
      const digest = await sha256(item.bytes);
      const upload = await store.upload(item.dataname, item.bytes);
      uploads.push(upload);
      envelope.payloads.push(linked(item, upload.url, digest, upload.expiresAt));
    }
    const body = encodeEnvelope(envelope);
    if (maxPayload !== null && body.length > maxPayload) {
      throw new NatsBridgeError(
        "too_large",
        `the message has ${body.length} bytes, the server takes ${maxPayload}`,
        { clause: "PLAN-7", needed: body.length, limit: maxPayload },
      );
    }
    return { envelope: sent(envelope, body.length), body, undo };
  } catch (error) {
    await undo();
    throw error;
  }
}

/**
 * One payload with its raw bytes, from `{ dataname, data, type, metadata }` or `[dataname, data, type]`;
 * `bytes` for
 * `data` are raw bytes that are there already, those of a received payload for example.
 */
async function itemOf(payload) {
  const [dataname, data, type] = Array.isArray(payload)
    ? payload
    : [payload?.dataname, payload?.data, payload?.type];
  const { metadata = {}, bytes } = Array.isArray(payload) ? {} : (payload ?? {});
  if (typeof dataname !== "string" || typeof type !== "string") {
    throw new NatsBridgeError(
      "invalid_input",
      "a payload is { dataname, data, type } or [dataname, data, type]",
      { clause: "FACADE-1" },
    );
  }
  return {
    id: uuid(),
    dataname,
    type,
    metadata,
    bytes: bytes === undefined ? await serialise(type, data) : bytesOf(bytes),
  };
}

/** The payload as a link, with what ENV-W8 adds to its metadata. */
export function linked(item, url, digest, expiresAt) {
  const metadata = new Map(item.metadata instanceof Map ? item.metadata : Object.entries(item.metadata));
  metadata.delete("sha256");
  metadata.delete("expiresAt");
  metadata.set("sha256", digest);
  if (expiresAt) metadata.set("expiresAt", expiresAt);
  return { ...item, metadata, url, size: item.bytes.length };
}

/** What the caller gets: `data` is the bytes of a direct payload and the link of a link payload. */
function sent(envelope, byteLength) {
  const payloads = envelope.payloads.map(({ bytes, url, ...payload }) => ({
    ...payload,
    transport: url === undefined ? "direct" : "link",
    encoding: url === undefined ? "base64" : "none",
    size: bytes.length,
    data: url ?? bytes,
  }));
  return { ...envelope, payloads, byteLength };
}

/** A store behind the handler that a caller gave; it answers with the upload's `url` at least (LINK-2). */
export function storeOf(handler, fileserverUrl) {
  return {
    urlBound: () => URL_LIMIT / 4,
    async upload(dataname, bytes) {
      const upload = await handler(fileserverUrl, dataname, bytes);
      try {
        parseLink(upload.url);
      } catch (cause) {
        throw new NatsBridgeError("store", "the upload handler gave no usable url", {
          clause: "LINK-2",
          cause,
        });
      }
      return upload;
    },
    async delete(upload) {
      if (upload.token) await new Plik(fileserverUrl).delete(upload);
    },
  };
}

/** An upload handler: a Plik that keeps the file for 24 hours. */
export function plikUpload(fileserverUrl, dataname, data) {
  return new Plik(fileserverUrl).upload(dataname, data);
}

/**
 * An upload handler: a Plik that deletes the file at its first download, even one that breaks off. For
 * exactly one receiver, which can live with a lost payload.
 */
export function plikOneshotUpload(fileserverUrl, dataname, data) {
  return new Plik(fileserverUrl, { oneShot: true }).upload(dataname, data);
}
