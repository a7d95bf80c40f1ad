// Size and digest (section 8), for either transport.

import { NatsBridgeError } from "./errors.js";
import { sha256 } from "#platform";

/** The SHA-256 that the metadata gives, in lower case, or null: only 64 hexadecimal digits count (VER-5). */
export function expectedDigest(metadata) {
  const given =
    metadata instanceof Map
      ? metadata.get("sha256")
      : Object.hasOwn(metadata, "sha256")
        ? metadata.sha256
        : undefined;
  return typeof given === "string" && /^[0-9a-fA-F]{64}$/.test(given) ? given.toLowerCase() : null;
}

/**
 * Checks the raw bytes of a payload against what its message says.
 *
 * @returns {Promise<{ verified: "digest" | "size" | null, notes: string[] }>} what proves them; `notes` has
 *   what is odd but no error, such as the wrong size of a direct payload
 * @throws {NatsBridgeError} `digest_mismatch`; for a link also `cut_short` (which is worth a retry) and
 *   `too_long`
 */
export async function verify(payload, bytes) {
  const notes = [];
  const isLink = payload.transport === "link";
  const digest = expectedDigest(payload.metadata);
  const unknownSize = payload.size === null || (isLink && BigInt(payload.size) === 0n); // VER-4
  const wrongSize = !unknownSize && BigInt(bytes.length) !== BigInt(payload.size);
  const proved = digest !== null && (await sha256(bytes)) === digest;
  if (!proved) {
    if (isLink && wrongSize && BigInt(bytes.length) < BigInt(payload.size)) {
      throw new NatsBridgeError("cut_short", `${bytes.length} of ${payload.size} bytes`, {
        clause: "VER-7",
        retryable: true,
      });
    }
    if (digest !== null) {
      throw new NatsBridgeError(
        "digest_mismatch",
        "the bytes are not those whose SHA-256 the message gives",
        { clause: isLink ? "VER-7" : "VER-5" },
      );
    }
    if (isLink && wrongSize) {
      throw new NatsBridgeError("too_long", `${bytes.length} bytes, the message says ${payload.size}`, {
        clause: "VER-3",
      });
    }
    if (hasDigest(payload.metadata) || (isLink && unknownSize)) notes.push("unverified");
  }
  if (wrongSize) notes.push(`size says ${payload.size}, there are ${bytes.length} bytes`);
  return { verified: proved ? "digest" : isLink && !unknownSize ? "size" : null, notes };
}

function hasDigest(metadata) {
  return metadata instanceof Map ? metadata.has("sha256") : Object.hasOwn(metadata, "sha256");
}
