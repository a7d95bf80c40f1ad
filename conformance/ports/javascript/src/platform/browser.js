// What differs between Node and browsers: the digest, the NATS transport, and headers that browsers keep to
// themselves.

import { wsconnect } from "@nats-io/nats-core";
import { sha256Hex } from "../sha256.js";

/**
 * SHA-256 in lower-case hexadecimal. Pages that are not secure contexts (http on another host) have no
 * `subtle`.
 */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) return sha256Hex(bytes);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A NATS connection over a websocket (`ws://` or `wss://`); the options are those of the NATS client. */
export const connectNats = wsconnect;

/** Browsers send their own User-Agent and Accept-Encoding, and undo the encodings that they ask for. */
export const REQUEST_HEADERS = {};
export const ASKED_ENCODINGS = ["identity", "gzip", "deflate", "br", "zstd"];
