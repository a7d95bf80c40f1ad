// Direct or link, stores, retries and what may be fetched (PLAN-, LINK-, RETRY-, POL-, VER-).

import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { payloadEntry } from "./envelope.mjs";
import { PeerError } from "./strict_json.mjs";

const USER_AGENT = "plik_client/1.0 (natsbridge node peer)";
export const DEFAULT_THRESHOLD = { camel: 1_000_000, snake: 500_000 };
export const KEPT_SECONDS = 86_400;
const CEILING = 2 ** 30;
const FIRST_BYTE_MS = 30_000;
const TOTAL_MS = 300_000;
const UPLOAD_MS = 120_000;

export const sha256 = (raw) => createHash("sha256").update(raw).digest("hex");

// --- planning ------------------------------------------------------------------------------

/**
 * Which payloads become links: a Set of positions. `planned` is a list of { payload, raw };
 * `headLength` is the length of the encoded message with no payloads; `urlBound(payload)` is the
 * store's upper bound for its URL, or null where there is no store.
 */
export function plan(headLength, planned, dialect, threshold, limit, urlBound) {
  const length = (payload) => Buffer.byteLength(payloadEntry(dialect, payload));
  const sizes = planned.map(({ payload, raw }) => ({
    direct: length({ ...payload, transport: "direct", data: "" }) + 4 * Math.ceil(raw.length / 3),
    link: urlBound && length(linked(payload, "", "0".repeat(64), "2000-01-01T00:00:00.000Z")) + urlBound(payload),
  }));
  const links = new Set([...planned.keys()].filter((i) => planned[i].raw.length >= threshold));
  if (links.size > 0 && !urlBound) {
    throw new PeerError("PLAN-6", `a payload reaches the threshold ${threshold} and there is no store`);
  }
  const needed = () =>
    sizes.reduce((sum, size, i) => sum + (links.has(i) ? size.link : size.direct), headLength + Math.max(0, sizes.length - 1));
  while (needed() > limit) {
    let best = -1, saved = 0;
    sizes.forEach((size, i) => {
      if (urlBound && !links.has(i) && size.direct - size.link > saved) {
        best = i;
        saved = size.direct - size.link;
      }
    });
    if (best < 0) throw new PeerError("PLAN-5", `the message needs ${needed()} bytes, the limit is ${limit}`);
    links.add(best);
  }
  return links;
}

/** The payload as a link, with what ENV-W8 adds to its metadata. */
export function linked(payload, url, digest, expiresAt) {
  const metadata = new Map(payload.metadata);
  metadata.delete("sha256");
  metadata.delete("expiresAt");
  metadata.set("sha256", digest);
  if (expiresAt) metadata.set("expiresAt", expiresAt);
  return { ...payload, transport: "link", encoding: "none", data: url, metadata };
}

// --- the Plik store ------------------------------------------------------------------------

/** LINK-3 to LINK-5. Kept for `ttl` seconds, or one-shot where that is asked for by name. */
export class Plik {
  constructor(server, { ttl = KEPT_SECONDS, oneShot = false } = {}) {
    this.server = server.replace(/\/+$/, "");
    this.lifetime = oneShot ? { oneShot: true } : { ttl };
  }

  /** An upper bound for the URL: the download domain is given 256 characters. */
  urlBound(payload) {
    return Math.max(this.server.length, 256) + 128 + 3 * fileName(payload.dataname).length;
  }

  async upload(dataname, raw) {
    const created = await this.#post("/upload", "creating the upload", {
      headers: { "content-type": "application/json" },
      body: JSON.stringify(this.lifetime),
    });
    const form = new FormData();
    form.append("file", new Blob([raw], { type: "application/octet-stream" }), fileName(dataname));
    const added = await this.#post(`/file/${created.id}`, "uploading the file", {
      headers: { "x-uploadtoken": created.uploadToken },
      body: form,
    });
    if ((added.fileSize ?? raw.length) !== raw.length) {
      throw new PeerError("LINK-3", "the store kept another length than was sent");
    }
    const base = (created.downloadDomain || this.server).replace(/\/+$/, "");
    return {
      status: 200,
      uploadid: created.id,
      fileid: added.id,
      url: `${base}/file/${created.id}/${added.id}/${segment(added.fileName)}`,
      token: created.uploadToken,
      expiresAt: expiry(created.expireAt),
    };
  }

  async delete(upload) {
    await request(upload.url, { method: "DELETE", headers: { "x-uploadtoken": upload.token } });
  }

  async #post(path, doing, init) {
    const reply = await request(this.server + path, { method: "POST", ...init });
    const text = await reply.text();
    if (reply.status !== 200) throw new PeerError("LINK-3", `${doing}: HTTP ${reply.status}`);
    return JSON.parse(text); // labelled text/plain
  }
}

function request(url, { headers, ...init }) {
  return fetch(url, {
    redirect: "manual",
    signal: AbortSignal.timeout(UPLOAD_MS),
    headers: { "user-agent": USER_AGENT, ...headers },
    ...init,
  });
}

/** A name that any server keeps as it is; the real one stays in the envelope. */
function fileName(dataname) {
  return dataname.replace(/[^A-Za-z0-9._-]/gu, "_").slice(0, 100).replace(/^\.+|\.+$/g, "") || "payload";
}

/** One path segment; encodeURIComponent leaves a few marks that are fine in a path. */
function segment(name) {
  return encodeURIComponent(name);
}

/** The store's RFC 3339 time in the form of ENV-9; milliseconds are cut, never rounded up. */
function expiry(text) {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(text ?? "");
  if (!match) return null;
  const milliseconds = ((match[2] ?? "") + "000").slice(0, 3);
  return new Date(`${match[1]}.${milliseconds}${match[3]}`).toISOString();
}

// --- what may be fetched -------------------------------------------------------------------

/**
 * POL-: the named origins. Where none is named, every port of this machine's loopback, which is
 * where tests run; that allowance is the peer's own, not the format's.
 */
export class Policy {
  constructor(origins = []) {
    this.origins = new Set(origins.map((url) => origin(url).text));
  }

  check(url) {
    const { text, host } = origin(url);
    const allowed = this.origins.size > 0 ? this.origins.has(text) : host === "localhost";
    if (!allowed) throw new PeerError("POL-2", `${text} is not allowed; --fileserver would`);
  }
}

function origin(url) {
  if (/[\x00-\x1f\x7f\\]/.test(url)) {
    throw new PeerError("POL-5", "the link holds a backslash or a control character");
  }
  let parsed;
  try {
    parsed = new URL(url);
  } catch {
    throw new PeerError("LINK-1", "the link is not a URL");
  }
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    throw new PeerError("POL-1", "the link is not an http or https URL");
  }
  if (/^[a-z]+:\/\/[^/?#]*@/i.test(url)) throw new PeerError("POL-5", "the link holds user info");
  const host = ["localhost", "127.0.0.1", "[::1]"].includes(parsed.hostname) ? "localhost" : parsed.hostname;
  const port = parsed.port || (parsed.protocol === "http:" ? "80" : "443");
  return { host, text: `${parsed.protocol}//${host}:${port}` };
}

// --- downloading ---------------------------------------------------------------------------

class Retryable extends Error {
  constructor(message, { clause = "RETRY-4", retryAfterMs = 0 } = {}) {
    super(message);
    this.clause = clause;
    this.retryAfterMs = retryAfterMs;
  }
}

/** A small seeded generator (mulberry32): numbers from 0 to below 1. */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** RETRY-2: the wait in ms before retry `n`, counted from 1. */
export function waitBefore(n, random, { baseDelay = 100, maxDelay = 5000 } = {}) {
  const ceiling = Math.min(maxDelay, baseDelay * 2 ** (n - 1));
  return ceiling / 2 + (random() * ceiling) / 2;
}

/** The verified raw bytes behind a link, and notes for the caller. */
export async function download(payload, policy, { maxRetries = 5, baseDelay = 100, maxDelay = 5000, seed } = {}) {
  policy.check(payload.data);
  const random = generator(seed ?? Date.now());
  for (let retry = 0; ; retry++) {
    try {
      return verify(payload, await fetchOnce(payload));
    } catch (error) {
      if (!(error instanceof Retryable)) throw error;
      if (retry === maxRetries) throw new PeerError(error.clause, `after ${maxRetries} retries: ${error.message}`);
      const drawn = waitBefore(retry + 1, random, { baseDelay, maxDelay });
      await sleep(Math.max(drawn, Math.min(maxDelay, error.retryAfterMs)));
    }
  }
}

async function fetchOnce(payload) {
  const total = AbortSignal.timeout(TOTAL_MS);
  const firstByte = new AbortController();
  const timer = setTimeout(() => firstByte.abort(), FIRST_BYTE_MS);
  let reply;
  try {
    reply = await fetch(payload.data, {
      redirect: "manual",
      signal: AbortSignal.any([total, firstByte.signal]),
      headers: { "user-agent": USER_AGENT, "accept-encoding": "identity" },
    });
  } catch (error) {
    throw new Retryable(error.cause?.code ?? error.name);
  } finally {
    clearTimeout(timer);
  }
  try {
    checkStatus(reply);
    const chunks = [];
    let length = 0;
    for await (const chunk of reply.body ?? []) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > CEILING) throw new PeerError("POL-6", "the file is above the ceiling");
    }
    return Buffer.concat(chunks, length);
  } catch (error) {
    if (error instanceof PeerError || error instanceof Retryable) throw error;
    if (total.aborted) throw new Retryable("the deadline passed");
    throw new Retryable("the download was cut short", { clause: "VER-7" });
  } finally {
    await reply.body?.cancel().catch(() => {});
  }
}

function checkStatus(reply) {
  const { status, headers } = reply;
  if ([408, 425, 429].includes(status) || status >= 500) {
    throw new Retryable(`HTTP ${status}`, { retryAfterMs: retryAfter(headers.get("retry-after")) });
  }
  if (status !== 200) throw new PeerError("LINK-7", `HTTP ${status}`);
  if ((headers.get("content-encoding") ?? "identity") !== "identity") {
    throw new PeerError("LINK-7", "a Content-Encoding nobody asked for");
  }
}

function retryAfter(text) {
  if (text === null) return 0;
  if (/^\s*\d+\s*$/.test(text)) return Number(text) * 1000;
  const when = Date.parse(text);
  return Number.isNaN(when) ? 0 : Math.max(0, when - Date.now());
}

/** Section 8 for either transport: { raw, notes }, or the error. */
export function verify(payload, raw) {
  const notes = [];
  const isLink = payload.transport === "link";
  const given = payload.metadata.get("sha256");
  const digest = typeof given === "string" && /^[0-9a-fA-F]{64}$/.test(given) ? given.toLowerCase() : null;
  const unknownSize = payload.size === null || (isLink && payload.size === 0n); // VER-4
  const wrongSize = !unknownSize && BigInt(raw.length) !== BigInt(payload.size);
  const cutShort = isLink && wrongSize && BigInt(raw.length) < BigInt(payload.size);
  const proved = digest !== null && sha256(raw) === digest;
  if (!proved) {
    if (cutShort) throw new Retryable(`${raw.length} of ${payload.size} bytes`, { clause: "VER-7" });
    if (digest !== null) throw new PeerError(isLink ? "VER-7" : "VER-5", "the digest does not match");
    if (isLink && wrongSize) throw new PeerError("VER-3", `${raw.length} bytes, size says ${payload.size}`);
    if (payload.metadata.has("sha256") || (isLink && unknownSize)) notes.push("unverified");
  }
  if (wrongSize) notes.push(`size says ${payload.size}, there are ${raw.length} bytes`);
  return { raw, notes };
}
