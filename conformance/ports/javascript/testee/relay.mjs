// A websocket to one page, by hand: RFC 6455 as far as text messages between two friends need it.
//
// Thousands of requests go through it; Playwright's own way into a page takes four milliseconds for each.

import { createHash } from "node:crypto";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const TEXT = 1;

/** Takes a request to upgrade; calls `heard(text)` for every message. Returns how to send one. */
export function takeWebsocket(request, socket, heard) {
  const accept = createHash("sha1")
    .update(request.headers["sec-websocket-key"] + GUID)
    .digest("base64");
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  socket.setNoDelay(true);
  let input = Buffer.alloc(0);
  let message = [];
  socket.on("data", (data) => {
    input = input.length === 0 ? data : Buffer.concat([input, data]);
    for (let frame = readFrame(input); frame !== null; frame = readFrame(input)) {
      input = input.subarray(frame.end);
      if (frame.opcode > TEXT) continue; // a close: the browser is going away, and nobody waits
      message.push(frame.payload);
      if (!frame.isLast) continue;
      heard(Buffer.concat(message).toString());
      message = [];
    }
  });
  return (text) => socket.write(frameOf(Buffer.from(text)));
}

/** The first frame, or null where it is not whole yet. Frames of a client are masked. */
function readFrame(input) {
  if (input.length < 2) return null;
  let length = input[1] & 0x7f;
  let at = 2;
  if (length === 126) {
    if (input.length < 4) return null;
    length = input.readUInt16BE(2);
    at = 4;
  } else if (length === 127) {
    if (input.length < 10) return null;
    length = Number(input.readBigUInt64BE(2));
    at = 10;
  }
  if (input.length < at + 4 + length) return null;
  const mask = input.subarray(at, at + 4);
  const payload = Buffer.from(input.subarray(at + 4, at + 4 + length));
  for (let i = 0; i < length; i++) payload[i] ^= mask[i & 3];
  return { opcode: input[0] & 0x0f, isLast: (input[0] & 0x80) !== 0, payload, end: at + 4 + length };
}

function frameOf(payload) {
  const head = Buffer.alloc(10);
  head[0] = 0x80 | TEXT;
  if (payload.length < 126) {
    head[1] = payload.length;
    return Buffer.concat([head.subarray(0, 2), payload]);
  }
  if (payload.length < 65_536) {
    head[1] = 126;
    head.writeUInt16BE(payload.length, 2);
    return Buffer.concat([head.subarray(0, 4), payload]);
  }
  head[1] = 127;
  head.writeBigUInt64BE(BigInt(payload.length), 2);
  return Buffer.concat([head, payload]);
}
