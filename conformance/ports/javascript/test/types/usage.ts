// What a program in TypeScript writes; `npm run types` checks that the declarations allow it.

import {
  Bridge,
  NatsBridgeError,
  Policy,
  decodeEnvelope,
  directBytes,
  encodeEnvelope,
  plikOneshotUpload,
  smartreceive,
  smartsend,
} from "natsbridge";

export async function facade(): Promise<void> {
  const sent = await smartsend(
    "/chat/room1",
    [{ dataname: "message", data: "Hello", type: "text" }, ["photo", new Uint8Array(3), "image"]],
    { natsUrl: "nats://localhost:4222", fileserverUploadHandler: plikOneshotUpload, senderName: "user-1" },
  );
  const link: string | Uint8Array = sent.payloads[1].data;

  const received = await smartreceive(new Uint8Array(), { maxRetries: 5, baseDelay: 100, maxDelay: 5000 });
  for (const [dataname, data, type] of received.payloads) console.log(dataname, data, type, link);
}

export async function bridge(): Promise<void> {
  const bridge = await Bridge.connect("ws://localhost:9222", {
    allowOrigins: ["http://localhost:8080"],
    nats: { name: "me" },
  });
  for await (const message of await bridge.subscribe("/api/query", { queue: "workers" })) {
    const request = await bridge.receive(message);
    if (request.payloads[0].error?.kind === "link_gone") continue;
    await bridge.reply(request, [{ dataname: "rows", data: [{ id: 1n }], type: "table" }]);
  }
  try {
    const reply = await bridge.request(
      "/api/query",
      [{ dataname: "q", data: { sql: "…" }, type: "dictionary" }],
      { timeout: 500 },
    );
    console.log(reply.payloads[0].data);
  } catch (error) {
    if (error instanceof NatsBridgeError && error.retryable) console.log(error.kind, error.offset);
  }
  await bridge.close();
}

export function codec(): Uint8Array {
  const body = encodeEnvelope({ dialect: "snake", payloads: [{ type: "binary", bytes: new Uint8Array(2) }] });
  const request: string = new Policy(["http://localhost:8080"]).check("http://127.0.0.1:8080/file/a/b/c");
  console.log(request);
  return directBytes(decodeEnvelope(body).payloads[0]);
}

// @ts-expect-error a payload needs a type
void smartsend("a", [{ dataname: "x", data: 1 }]);
// @ts-expect-error there are two dialects
void smartsend("a", [], { dialect: "kebab" });
