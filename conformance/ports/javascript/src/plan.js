// Direct or link (PLAN-): a pure function of sizes and limits.

import { NatsBridgeError } from "./errors.js";

/**
 * The transport of every payload, in order.
 *
 * `payloads` are { size, directLength, linkLength }: raw bytes, and the bytes of the entry by either
 * transport (`linkLength` null: cannot be a link). `baseLength` is the message without entries and commas;
 * `maxPayload` is what the server takes, or null where that is not known.
 *
 * @returns {("direct" | "link")[]}
 * @throws {NatsBridgeError} `no_store`, `too_large`, with `needed` and `limit`
 */
export function plan({ payloads, threshold, maxPayload, baseLength, hasStore }) {
  const transports = payloads.map(({ size, linkLength }) => {
    if (BigInt(size) < BigInt(threshold)) return "direct";
    if (!hasStore || linkLength === null) {
      throw new NatsBridgeError(
        "no_store",
        "a payload reaches the threshold, and there is no file server for it",
        { clause: "PLAN-6", needed: size, limit: threshold },
      );
    }
    return "link";
  });
  if (maxPayload === null) return transports;

  // BigInts, so that no sizes lose their last bits.
  const lengths = payloads.map(({ directLength, linkLength }) => ({
    direct: BigInt(directLength),
    link: linkLength === null ? null : BigInt(linkLength),
  }));
  let needed = BigInt(baseLength) + BigInt(Math.max(0, payloads.length - 1));
  lengths.forEach((length, i) => {
    needed += length[transports[i]];
  });
  const saving = ({ direct, link }) => (link === null || link > direct ? 0n : direct - link);
  // Most saved first; the sort is stable, so the first of equals stays first.
  const candidates = [...lengths.keys()]
    .filter((i) => hasStore && transports[i] === "direct" && saving(lengths[i]) > 0n)
    .sort(
      (a, b) =>
        Number(saving(lengths[b]) > saving(lengths[a])) - Number(saving(lengths[b]) < saving(lengths[a])),
    );
  for (const i of candidates) {
    if (needed <= maxPayload) break;
    transports[i] = "link";
    needed -= saving(lengths[i]);
  }
  if (needed > maxPayload) {
    throw new NatsBridgeError(
      "too_large",
      `the message needs ${needed} bytes, the server takes ${maxPayload}`,
      {
        clause: "PLAN-5",
        needed: needed <= Number.MAX_SAFE_INTEGER ? Number(needed) : needed,
        limit: maxPayload,
      },
    );
  }
  return transports;
}
