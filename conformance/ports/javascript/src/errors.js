// The one error of the port: what happened, where, and whether the same call may succeed later.

/**
 * Every failure is one of these. `kind` says what happened:
 *
 * | kind | meaning |
 * |---|---|
 * | `malformed` | the message is no valid envelope |
 * | `limit` | larger, deeper or more numerous than the limits allow |
 * | `invalid_payload` | one payload's entry is unusable; the others can be read |
 * | `invalid_base64`, `invalid_text`, `invalid_json`, `invalid_table` | bytes that are not what the type says |
 * | `digest_mismatch` | complete, but not the bytes whose SHA-256 the message gives |
 * | `cut_short`, `too_long` | a download with fewer or more bytes than it should have |
 * | `link_refused` | the link leads where this receiver has not allowed it to lead |
 * | `link_gone` | the file expired, was deleted, or was a one-shot that was taken already |
 * | `link_failed` | the file server does not hand the file over |
 * | `store` | the file server does not take an upload, or its answer makes no sense |
 * | `too_large`, `no_store` | the message cannot fit the server's limit; a payload needs a store |
 * | `invalid_subject`, `invalid_input` | the caller's arguments |
 * | `timeout`, `no_responders` | no answer in time; nobody listens |
 * | `connection`, `permission_denied` | no NATS connection; the server does not allow to publish there |
 * | `unconfirmed` | the message was handed over and its fate is unknown: sending again may deliver twice |
 *
 * No text holds payload bytes, credentials or a full link.
 */
export class NatsBridgeError extends Error {
  /**
   * @param {string} kind
   * @param {string} message
   * @param {object} [details]
   */
  constructor(
    kind,
    message,
    { clause = "", offset = null, needed, limit, retryable = false, retryAfterMs = 0, cause } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "NatsBridgeError";
    this.kind = kind;
    /** The clause of SPEC.md that was broken, such as `ENV-R5`; "" where none was. */
    this.clause = clause;
    /**
     * The first wrong byte, or null: from the start of the message, for what a payload holds (`TYPE-`) from
     * the start of its raw bytes.
     */
    this.offset = offset;
    /** Base64 of a payload: the same, from the start of its `data`, escapes resolved. */
    this.dataOffset = null;
    /** `too_large`, `no_store`: the bytes needed and the bytes allowed. */
    this.needed = needed;
    this.limit = limit;
    /** Whether trying again later may help. */
    this.retryable = retryable;
    /** What the file server asked to wait, in ms. */
    this.retryAfterMs = retryAfterMs;
  }
}
