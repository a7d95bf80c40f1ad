// Fetching what is behind a link: policy first, then bytes, then verification, with retries (LINK-7, RETRY-,
// VER-7).

import { concat } from "./bytes.js";
import { NatsBridgeError } from "./errors.js";
import { DOWNLOAD_LIMIT, DOWNLOAD_MS, FIRST_BYTE_MS, IDLE_MS, RETRIES } from "./limits.js";
import { ASKED_ENCODINGS, REQUEST_HEADERS } from "#platform";
import { generator, isRetryableStatus, retryAfterMs, retryDelay } from "./retry.js";
import { expectedDigest, verify } from "./verify.js";

/**
 * The verified raw bytes of a link payload, and what is odd about them.
 *
 * @param {object} payload `url`, `size` and `metadata` of a payload that was read
 * @param {import("./policy.js").Policy} policy
 * @param {object} [options] `maxRetries`, `baseDelay`, `maxDelay` (ms), `seed`, `limit` (bytes)
 * @returns {Promise<{ bytes: Uint8Array, verified: string | null, notes: string[] }>}
 */
export async function download(payload, policy, options = {}) {
  const { maxRetries, baseDelay, maxDelay } = { ...RETRIES, ...options };
  const url = policy.check(payload.url);
  const random = generator(options.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]);
  for (let retry = 1; ; retry++) {
    try {
      const bytes = await fetchOnce(url, payload, options.limit ?? DOWNLOAD_LIMIT);
      return { bytes, ...(await verify({ ...payload, transport: "link" }, bytes)) };
    } catch (error) {
      if (!error.retryable || retry > maxRetries) throw error;
      await sleep(retryDelay(retry, random, { baseDelay, maxDelay, retryAfterMs: error.retryAfterMs }));
    }
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** One request, within its deadlines. */
async function fetchOnce(url, payload, limit) {
  const abort = new AbortController();
  let late = "";
  const alarm = (what) => () => {
    late = what;
    abort.abort();
  };
  const total = setTimeout(alarm("the download"), DOWNLOAD_MS);
  let quiet = setTimeout(alarm("the first byte"), FIRST_BYTE_MS);
  try {
    const reply = await fetch(url, {
      redirect: "manual",
      signal: abort.signal,
      headers: REQUEST_HEADERS,
      cache: "no-store",
      credentials: "omit",
    }).catch((cause) => {
      throw failed(`no answer from the file server: ${reasonOf(cause)}`, { retryable: true });
    });
    checkReply(reply);
    return await readBody(reply, boundOf(payload, limit), () => {
      clearTimeout(quiet);
      quiet = setTimeout(alarm("the next byte"), IDLE_MS);
    });
  } catch (error) {
    if (late)
      throw new NatsBridgeError("timeout", `waited too long for ${late}`, {
        clause: "POL-6",
        retryable: true,
      });
    throw error;
  } finally {
    clearTimeout(total);
    clearTimeout(quiet);
    abort.abort(); // frees the connection of a body that was not read to its end
  }
}

function checkReply({ type, status, headers }) {
  if (type === "opaqueredirect" || (status >= 300 && status <= 399)) {
    // A Plik hides errors in redirects to its web page, and the real status in their address.
    const hidden = /[?&]errcode=(404|410)\b/.test(headers.get("location") ?? "");
    throw hidden ? gone(status) : failed("a redirect, and those are never followed", { clause: "POL-6" });
  }
  if (status === 404 || status === 410) throw gone(status);
  if (isRetryableStatus(status)) {
    throw failed(`HTTP ${status}`, {
      clause: "RETRY-4",
      retryable: true,
      retryAfterMs: retryAfterMs(headers.get("retry-after")),
    });
  }
  if (status !== 200) throw failed(`HTTP ${status}`);
  if (!ASKED_ENCODINGS.includes((headers.get("content-encoding") ?? "identity").toLowerCase())) {
    throw failed("a Content-Encoding nobody asked for");
  }
}

/** The most bytes to take. Without a digest, one more than `size` is already too many (VER-3). */
function boundOf({ size, metadata }, limit) {
  const known = size !== null && BigInt(size) !== 0n && expectedDigest(metadata) === null;
  return known && BigInt(size) < BigInt(limit) ? Number(size) : limit;
}

async function readBody(reply, bound, heard) {
  // Where a browser has undone an encoding, the length is not that of the bytes.
  const encoded = reply.headers.has("content-encoding");
  const announced = encoded ? null : reply.headers.get("content-length");
  const tooLong = () =>
    new NatsBridgeError("too_long", `more than ${bound} bytes`, { clause: "VER-3", limit: bound });
  if (announced !== null && Number(announced) > bound) throw tooLong();
  const pieces = [];
  let length = 0;
  try {
    const reader = reply.body?.getReader();
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true };
      if (done) break;
      heard();
      length += value.length;
      if (length > bound) throw tooLong();
      pieces.push(value);
    }
  } catch (cause) {
    if (cause instanceof NatsBridgeError) throw cause;
    throw cutShort(reasonOf(cause));
  }
  if (announced !== null && length < Number(announced)) throw cutShort(`${length} of ${announced} bytes`);
  return pieces.length === 1 ? pieces[0] : concat(pieces);
}

/** An error's own words may hold the URL; its code does not. */
function reasonOf(error) {
  return error.cause?.code ?? error.name;
}

function cutShort(why) {
  return new NatsBridgeError("cut_short", `the download broke off: ${why}`, {
    clause: "VER-7",
    retryable: true,
  });
}

function gone(status) {
  return new NatsBridgeError(
    "link_gone",
    `HTTP ${status}: expired, deleted, or a one-shot link that was taken already`,
    { clause: "LINK-7" },
  );
}

function failed(message, details) {
  return new NatsBridgeError("link_failed", message, { clause: "LINK-7", ...details });
}
