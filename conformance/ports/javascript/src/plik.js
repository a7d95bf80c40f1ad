// The Plik file server: uploads, their links, and taking them back (LINK-3 to LINK-5).

import { bytesOf } from "./bytes.js";
import { NatsBridgeError } from "./errors.js";
import { readJson } from "./json.js";
import { KEPT_SECONDS, UPLOAD_MS } from "./limits.js";
import { REQUEST_HEADERS } from "#platform";
import { originOf, parseLink } from "./policy.js";
import { isRetryableStatus } from "./retry.js";
import { formatTimestamp, parseTimestamp } from "./timestamp.js";

const MAX_ID = 32;
const MAX_DOMAIN = 256;

/**
 * A store of files. Uploads are kept for `ttl` seconds. With `oneShot` the server deletes a file at its first
 * download, *even one that breaks off*: a retry, a second subscriber and a replay then find nothing.
 */
export class Plik {
  #domain; // what the server announces, once it was asked

  /** @param {string} server such as `http://localhost:8080` */
  constructor(server, { ttl = KEPT_SECONDS, oneShot = false } = {}) {
    this.server = baseOf(
      server,
      (why) => new NatsBridgeError("invalid_input", `the file server's URL: ${why}`),
    );
    this.lifetime = oneShot ? { oneShot: true } : { ttl };
  }

  /** An upper bound for the characters of an upload's link. */
  urlBound(dataname) {
    return (
      Math.max(this.server.length, MAX_DOMAIN) +
      "/file/".length +
      2 * (MAX_ID + 1) +
      3 * fileName(dataname).length
    );
  }

  /**
   * Uploads one file.
   *
   * @returns {Promise<{ status: number, uploadid: string, fileid: string, url: string, token: string,
   *   expiresAt: string | null }>}
   *   `token` deletes it again and stays with the sender
   * @throws {NatsBridgeError} `store`; nothing is left behind that the server would not delete by itself
   */
  async upload(dataname, data) {
    const bytes = bytesOf(data);
    const created = await this.#post("/upload", {
      headers: { "content-type": "application/json" },
      body: JSON.stringify(this.lifetime),
    });
    const { id, token } = readCreated(created);
    const form = new FormData();
    form.append("file", new Blob([bytes], { type: "application/octet-stream" }), fileName(dataname));
    const added = await this.#post(`/file/${id}`, { headers: { "x-uploadtoken": token }, body: form });
    const upload = readUpload(this.server, created, added);
    if (upload.size !== null && upload.size !== bytes.length) {
      await this.delete(upload).catch(() => {});
      throw refused(`the file server kept ${upload.size} of ${bytes.length} bytes`);
    }
    return { status: 200, ...upload };
  }

  /** Removes an upload's file (LINK-4). */
  async delete({ url, token }) {
    await this.#request(url, { method: "DELETE", headers: { "x-uploadtoken": token } });
  }

  /** The origin that the server announces for downloads (POL-8), or null; asked once. */
  async downloadOrigin() {
    this.#domain ??= this.#request(`${this.server}/config`, {})
      .then(async (reply) => {
        const domain = domainOf(readObject(new Uint8Array(await reply.arrayBuffer())));
        return domain === null ? null : originOf(domain);
      })
      .catch(() => null);
    return this.#domain;
  }

  async #post(path, init) {
    const reply = await this.#request(this.server + path, { method: "POST", ...init });
    return new Uint8Array(await reply.arrayBuffer()); // JSON, labelled text/plain
  }

  async #request(url, { headers, ...init }) {
    let reply;
    try {
      reply = await fetch(url, {
        redirect: "manual",
        signal: AbortSignal.timeout(UPLOAD_MS),
        headers: { ...REQUEST_HEADERS, ...headers },
        cache: "no-store",
        credentials: "omit",
        ...init,
      });
    } catch (cause) {
      const kind = cause.name === "TimeoutError" ? "timeout" : "store";
      throw new NatsBridgeError(kind, `no answer from the file server: ${cause.cause?.code ?? cause.name}`, {
        clause: "LINK-3",
        retryable: true,
      });
    }
    if (reply.status !== 200) {
      await reply.body?.cancel().catch(() => {});
      throw refused(`the file server answered ${reply.status}`, {
        retryable: isRetryableStatus(reply.status),
      });
    }
    return reply;
  }
}

/**
 * What a Plik's two answers say, as those of a server that may say anything: identifiers, link and token.
 *
 * @throws {NatsBridgeError} `store`
 */
export function readUpload(server, createdBody, addedBody) {
  const { id, token, domain, expiresAt } = readCreated(createdBody);
  const added = readObject(addedBody);
  const fileid = idOf(added);
  const { fileName: name, fileSize: size } = added;
  // A path that servers clean up could not be fetched.
  if (typeof name !== "string" || name === "" || name === "." || name === ".." || name.includes("/")) {
    throw refused("the fileName of the answer is not valid");
  }
  return {
    uploadid: id,
    fileid,
    url: `${domain ?? baseOf(server, refused)}/file/${id}/${fileid}/${segment(name)}`,
    token,
    size: Number.isSafeInteger(size) && size >= 0 ? size : null,
    expiresAt,
  };
}

function readCreated(body) {
  const answer = readObject(body);
  const token = answer.uploadToken;
  if (typeof token !== "string" || !/^[!-~]{1,256}$/.test(token))
    throw refused("the uploadToken of the answer is not valid");
  const expires = typeof answer.expireAt === "string" ? parseTimestamp(answer.expireAt) : null;
  return {
    id: idOf(answer),
    token,
    domain: domainOf(answer),
    // Milliseconds are cut, never rounded up.
    expiresAt: expires === null ? null : formatTimestamp(Number(expires / 1_000_000n)),
  };
}

function readObject(body) {
  let answer;
  try {
    answer = readJson(body);
  } catch (cause) {
    throw refused("the answer is not JSON", { cause });
  }
  if (answer === null || typeof answer !== "object" || Array.isArray(answer))
    throw refused("the answer is no object");
  return answer;
}

function idOf({ id }) {
  if (typeof id !== "string" || !/^[A-Za-z0-9_-]{1,32}$/.test(id))
    throw refused("the id of the answer is not valid");
  return id;
}

function domainOf({ downloadDomain: domain }) {
  if (domain === undefined || domain === null || domain === "") return null;
  const base = typeof domain === "string" ? baseOf(domain, refused) : "";
  if (base === "" || base.length > MAX_DOMAIN) throw refused("the downloadDomain of the answer is not valid");
  return base;
}

/** The beginning of a server's URLs: no query, no slash at the end. */
function baseOf(text, error) {
  let link;
  try {
    link = parseLink(text);
  } catch {
    throw error("it is no http or https URL without user info");
  }
  if (/[?#]/.test(text)) throw error("it has a query or a fragment");
  return link.request.replace(/\/+$/, "");
}

/** One path segment: everything is escaped but letters, digits and `-._~`. */
function segment(name) {
  if (!name.isWellFormed()) throw refused("the fileName of the answer is not valid");
  return encodeURIComponent(name).replace(
    /[!'()*]/g,
    (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** A name that any server keeps as it is; the real one is in the envelope. */
function fileName(dataname) {
  return (
    dataname
      .replace(/[^A-Za-z0-9._-]/gu, "_")
      .slice(0, 100)
      .replace(/^\.+|\.+$/g, "") || "payload"
  );
}

function refused(message, details) {
  return new NatsBridgeError("store", message, { clause: "LINK-3", ...details });
}
