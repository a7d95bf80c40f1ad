// NATSBridge for JavaScript, in Node and in browsers.

export { Bridge, smartreceive, smartsend } from "./bridge.js";
export { decodeEnvelope, directBytes, encodeEnvelope } from "./envelope.js";
export { NatsBridgeError } from "./errors.js";
export { plikOneshotUpload, plikUpload } from "./send.js";
export { Plik } from "./plik.js";
export { Policy } from "./policy.js";
export { ReceivedPayload } from "./receive.js";
