// What differs between Node and browsers: the digest, the NATS transport, and headers that browsers keep to
// themselves.

import { createHash } from "node:crypto";
import { connect } from "@nats-io/transport-node";

/** SHA-256 in lower-case hexadecimal. */
export async function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A NATS connection; the options are those of the NATS client. */
export const connectNats = connect;

/**
 * LINK-8: a Plik hides errors behind redirects from agents that it does not know. And LINK-7: nobody asks for
 * a Content-Encoding.
 */
export const REQUEST_HEADERS = {
  "user-agent": "plik_client/1.0 (natsbridge javascript)",
  "accept-encoding": "identity",
};
export const ASKED_ENCODINGS = ["identity"];
