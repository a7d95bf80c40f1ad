// A message on its way in: envelope, then each payload by itself.

import { bytesOf, utf8 } from "./bytes.js";
import { download } from "./download.js";
import { decodeEnvelope, directBytes } from "./envelope.js";
import { NatsBridgeError } from "./errors.js";
import { RETRIES } from "./limits.js";
import { readValue } from "./payloads.js";
import { expectedDigest, verify } from "./verify.js";

const AT_ONCE = 4; // downloads

/**
 * One payload of a received message. Iterating gives `dataname, data, type`, so that
 * `for (const [dataname, data, type] of envelope.payloads)` works.
 */
export class ReceivedPayload {
  #value;

  constructor(payload, opened) {
    const { id, dataname, type, transport, encoding, size, metadata, url } = payload;
    Object.assign(this, { id, dataname, type, transport, encoding, size, metadata });
    /** The link of a link payload, else null. A secret: whoever has it can fetch the file. */
    this.url = url;
    /** What `data` is: "text", "json", "rows", "table" or "bytes". */
    this.kind = opened.kind ?? "bytes";
    /** The raw bytes, or null where there are none. */
    this.bytes = opened.bytes ?? null;
    /** What proves the bytes: "digest", "size" (links only) or null. */
    this.verified = opened.verified ?? null;
    /** What is odd but no error, such as a wrong size of a direct payload. */
    this.notes = opened.notes ?? [];
    /** Why the payload cannot be read, or null. */
    this.error = opened.error ?? null;
    this.#value = opened.value;
  }

  /**
   * The value: a string, a JSON value, an Arrow table, a list of rows, or bytes.
   *
   * @throws {NatsBridgeError} what `error` holds
   */
  get data() {
    if (this.error) throw this.error;
    return this.#value;
  }

  *[Symbol.iterator]() {
    yield this.dataname;
    yield this.data;
    yield this.type;
  }
}

/**
 * Reads a message and all of its payloads.
 *
 * @param {object | Uint8Array | string} message a NATS message, its body, or its text
 * @param {object} options `policyFor(url)`, which resolves to the policy to ask; `handler`; the retries;
 *   `refuseUnverified`
 */
export async function open(
  message,
  { policyFor, handler, refuseUnverified = false, maps = false, ...options },
) {
  const { body, subject, natsReply } = partsOf(message);
  const { payloads, ...envelope } = decodeEnvelope(body, { maps, ...options });
  const context = {
    policyFor,
    handler,
    refuseUnverified,
    maps,
    correlationId: envelope.correlationId,
    ...options,
  };
  return {
    ...envelope,
    payloads: await pool(payloads, AT_ONCE, (payload) => openPayload(payload, context)),
    subject,
    natsReply,
  };
}

function partsOf(message) {
  if (typeof message === "string") return { body: utf8(message), subject: null, natsReply: null };
  const data = message?.data;
  if (data instanceof Uint8Array && !ArrayBuffer.isView(message)) {
    return { body: data, subject: message.subject ?? null, natsReply: message.reply ?? null };
  }
  return { body: bytesOf(message), subject: null, natsReply: null };
}

async function openPayload(payload, context) {
  const opened = {};
  try {
    Object.assign(opened, await fetchPayload(payload, context));
    Object.assign(opened, await readValue(payload.type, opened.bytes, context));
  } catch (error) {
    opened.error =
      error instanceof NatsBridgeError
        ? error
        : new NatsBridgeError("link_failed", "the download handler failed", { cause: error });
  }
  return new ReceivedPayload(payload, opened);
}

async function fetchPayload(payload, { policyFor, handler, refuseUnverified, correlationId, ...options }) {
  if (payload.error) throw payload.error;
  if (payload.transport === "direct") {
    const bytes = directBytes(payload);
    return { bytes, ...(await verify(payload, bytes)) };
  }
  if (refuseUnverified && expectedDigest(payload.metadata) === null && !payload.size) {
    throw new NatsBridgeError(
      "link_refused",
      "the link has neither size nor digest, and refuseUnverified is set",
      { clause: "VER-6" },
    );
  }
  if (!handler) return download(payload, await policyFor(payload.url), options);
  const bytes = bytesOf(await handler(payload.url, { ...RETRIES, ...options, correlationId }));
  return { bytes, ...(await verify(payload, bytes)) };
}

/** Maps all items, a few at once, in order. */
async function pool(items, atOnce, map) {
  const results = new Array(items.length);
  const left = items.entries();
  const worker = async () => {
    for (const [index, item] of left) results[index] = await map(item);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  return results;
}
