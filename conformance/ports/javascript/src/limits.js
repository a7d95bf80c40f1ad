// What is accepted and what is assumed: every number that bounds something, once.

/** A received message, in bytes; far above any NATS server's own limit. */
export const MESSAGE_LIMIT = 64 * 1024 * 1024;
/** Payloads in one received message. */
export const PAYLOAD_COUNT_LIMIT = 4096;
/** One download, in bytes. */
export const DOWNLOAD_LIMIT = 1024 ** 3;
/** A received table's buffers, unpacked, in bytes. */
export const TABLE_LIMIT = 1024 ** 3;
/** A link, in characters. */
export const URL_LIMIT = 8192;

/** PLAN-2: payloads of this many raw bytes and more travel by link. */
export const DEFAULT_THRESHOLD = { camel: 1_000_000, snake: 500_000 };
/** LINK-5: how long a Plik keeps an upload, in seconds. */
export const KEPT_SECONDS = 86_400;
/** RETRY-1. */
export const RETRIES = { maxRetries: 5, baseDelay: 100, maxDelay: 5000 };

/**
 * POL-6, all in ms: until the first byte of an answer, between two of them, for one download, for one upload
 * step.
 */
export const FIRST_BYTE_MS = 30_000;
export const IDLE_MS = 30_000;
export const DOWNLOAD_MS = 300_000;
export const UPLOAD_MS = 120_000;
