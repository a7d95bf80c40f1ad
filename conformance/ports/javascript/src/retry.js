// When to try a download again (RETRY-).

import { RETRIES } from "./limits.js";

/** Whether an HTTP status may be another one later (RETRY-4). */
export function isRetryableStatus(status) {
  return status === 408 || status === 425 || status === 429 || (status >= 500 && status <= 599);
}

/**
 * The ms to wait before retry `retry`, counted from 1: at most `min(maxDelay, baseDelay * 2^(retry-1))` and
 * at least half of that, drawn by the generator; longer where the server asks for it, never above `maxDelay`.
 */
export function retryDelay(
  retry,
  random,
  { baseDelay = RETRIES.baseDelay, maxDelay = RETRIES.maxDelay, retryAfterMs = 0 } = {},
) {
  const ceiling = baseDelay === 0 ? 0 : Math.min(maxDelay, baseDelay * 2 ** (retry - 1));
  return Math.max(ceiling / 2 + (random() * ceiling) / 2, Math.min(retryAfterMs, maxDelay));
}

/** `Retry-After` in ms: seconds or a date; 0 for anything else. */
export function retryAfterMs(text, now = Date.now()) {
  if (text === null) return 0;
  if (/^\s*\d+\s*$/.test(text)) return Number(text) * 1000;
  const when = Date.parse(text);
  return Number.isNaN(when) ? 0 : Math.max(0, when - now);
}

/** A small seeded generator (mulberry32): numbers from 0 to below 1. */
export function generator(seed) {
  let state = Number(BigInt.asUintN(32, BigInt(seed)));
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
