// The facade: one connection to NATS, a file server, and messages in and out (FACADE-, REQ-, LINK-6).

import { createInbox, PermissionViolationError } from "@nats-io/nats-core";
import { uuid } from "./bytes.js";
import { decodeEnvelope } from "./envelope.js";
import { NatsBridgeError } from "./errors.js";
import { connectNats } from "#platform";
import { Plik } from "./plik.js";
import { originOf, Policy } from "./policy.js";
import { open } from "./receive.js";
import { prepare, storeOf } from "./send.js";
import { checkSubject, replyFields, replySubject } from "./subjects.js";

const NATS_URL = "nats://localhost:4222";
const FILESERVER_URL = "http://localhost:8080";
const CONNECT_MS = 5000;
const CONFIRM_MS = 10_000;
const REQUEST_MS = 10_000;
const SENDER_ID = uuid(); // of `smartsend`

/**
 * A bridge over one NATS connection, for programs that send or receive more than one message.
 *
 * It has no file server and fetches from nowhere until `fileserverUrl` or `allowOrigins` names one (POL-9).
 *
 * @example
 * const bridge = await Bridge.connect("nats://localhost:4222", { fileserverUrl: "http://localhost:8080" });
 * await bridge.send("/chat/room1", [{ dataname: "message", data: "Hello", type: "text" }]);
 * await bridge.close();
 */
export class Bridge {
  #connection;
  #options;
  #store;
  #ownsConnection = false;
  #senderId = uuid();
  #unconfirmed = new Set(); // how to tell each waiting send that the connection is gone

  /**
   * Over a connection that the caller has; closing it stays with the caller.
   *
   * @param {import("@nats-io/nats-core").NatsConnection} connection
   * @param {object} [options] `fileserverUrl`, `allowOrigins`, and defaults for the options of `send` and
   *   `receive`
   */
  constructor(connection, { brokerURL = "", ...options } = {}) {
    this.#connection = connection;
    connection.closed().then(() => {
      for (const fail of this.#unconfirmed)
        fail(new NatsBridgeError("connection", "the NATS connection was closed"));
    });
    this.#options = { ...options, brokerURL: withoutCredentials(brokerURL) };
    this.#store = storeFor(options);
    new Policy(options.allowOrigins); // a mistake shows here, not at the first link
  }

  /**
   * Connects. `natsUrl` may hold user and password, or a token, and may name several servers, separated by
   * commas.
   *
   * @throws {NatsBridgeError} `connection`
   */
  static async connect(natsUrl = NATS_URL, { nats = {}, ...options } = {}) {
    let connection;
    try {
      connection = await connectNats({ timeout: CONNECT_MS, ...serversOf(natsUrl), ...nats });
    } catch (cause) {
      throw new NatsBridgeError("connection", `no connection to ${withoutCredentials(natsUrl)}`, {
        cause,
        retryable: true,
      });
    }
    try {
      const bridge = new Bridge(connection, { brokerURL: natsUrl, ...options });
      bridge.#ownsConnection = true;
      return bridge;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** The NATS client's connection. */
  get connection() {
    return this.#connection;
  }

  /**
   * Sends one message and waits until the server has taken it.
   *
   * @param {string} subject
   * @param {Array<object | [string, any, string]>} payloads `{ dataname, data, type, metadata }` or
   *   `[dataname, data, type]`
   * @param {object} [options] envelope fields, `sizeThreshold`, `dialect`, `metadata`, `ttl`, `oneShot`
   * @returns the envelope as it was sent; `payloads[i].data` is the link of a link payload
   * @throws {NatsBridgeError} before anything was sent: `invalid_subject`, `invalid_input`, `too_large`,
   *   `no_store`, `store`.
   *   `permission_denied`: the server refused it. `unconfirmed`: nobody knows; sending again may deliver
   *   twice.
   */
  async send(subject, payloads, options = {}) {
    return this.#publish(subject, payloads, options);
  }

  async #publish(subject, payloads, options, natsReply) {
    const all = { senderId: this.#senderId, ...this.#options, ...options };
    const changed = ["fileserverUrl", "fileserverUploadHandler", "ttl", "oneShot"].some(
      (name) => options[name] !== undefined,
    );
    if (this.#connection.isClosed()) throw new NatsBridgeError("connection", "the NATS connection is closed");
    const maxPayload = this.#connection.info?.max_payload ?? null;
    const { envelope, body, undo } = await prepare(subject, payloads, {
      ...all,
      maxPayload,
      store: changed ? storeFor(all) : this.#store,
    });
    const denials = this.#connection.status();
    try {
      this.#connection.publish(subject, body, { reply: natsReply });
    } catch (cause) {
      denials.stop();
      await undo(); // the client has not taken it
      throw new NatsBridgeError("connection", "the NATS client does not take the message", { cause });
    }
    // From here on the client may deliver it, after a reconnect too: the uploads stay (LINK-6).
    try {
      await this.#confirmed();
    } catch (cause) {
      throw new NatsBridgeError("unconfirmed", "handed to the NATS client; whether it arrived is not known", {
        clause: "LINK-6",
        cause,
      });
    } finally {
      denials.stop();
    }
    for await (const status of denials) {
      const { error } = status;
      if (
        error instanceof PermissionViolationError &&
        error.operation === "publish" &&
        error.subject === subject
      ) {
        throw new NatsBridgeError("permission_denied", "the NATS server does not permit to publish there", {
          cause: error,
        });
      }
    }
    return envelope;
  }

  /**
   * Waits until the server has handled everything so far. The client's own flush never ends where the
   * connection is closed meanwhile, and waits through all of its reconnects.
   */
  async #confirmed() {
    let fail, timer;
    try {
      await new Promise((resolve, reject) => {
        fail = reject;
        this.#unconfirmed.add(fail);
        timer = setTimeout(
          () =>
            reject(new NatsBridgeError("timeout", `no answer from the NATS server within ${CONFIRM_MS} ms`)),
          CONFIRM_MS,
        );
        this.#connection.flush().then(resolve, reject);
      });
    } finally {
      this.#unconfirmed.delete(fail);
      clearTimeout(timer);
    }
  }

  /**
   * Subscribes. The iterator gives NATS messages, for `receive`; the subscription is live on the server when
   * this resolves.
   *
   * @returns {Promise<import("@nats-io/nats-core").Subscription>}
   */
  async subscribe(subject, options) {
    checkSubject(subject, "subscribe");
    const subscription = this.#connection.subscribe(subject, options);
    await this.#confirmed();
    return subscription;
  }

  /**
   * Reads a NATS message, its bytes, or its text, and fetches what is behind its links.
   *
   * @returns the envelope's fields, `payloads`, `subject` and `natsReply`; a payload that cannot be read
   *   has its `error`
   * @throws {NatsBridgeError} what fails the whole message: `malformed`, `limit`
   */
  async receive(message, options = {}) {
    return receiveWith(message, { ...this.#options, ...options }, this.#store);
  }

  /**
   * Sends a request and waits for its reply, which is matched by its `correlationId` (REQ-1, REQ-3).
   *
   * @param {object} [options] those of `send` and `receive`, `timeout` in ms (10,000), and `read`, which is
   *   given the NATS message of the reply instead of `receive`
   * @throws {NatsBridgeError} `no_responders`, `timeout`, and those of `send` and `receive`
   */
  async request(
    subject,
    payloads,
    { timeout = REQUEST_MS, read = (message) => this.receive(message, options), ...options } = {},
  ) {
    const inbox = options.replyTo || createInbox();
    checkSubject(inbox);
    const replies = await this.subscribe(inbox);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      replies.unsubscribe();
    }, timeout);
    try {
      const sent = await this.#publish(
        subject,
        payloads,
        { msgPurpose: "request", ...options, replyTo: inbox },
        inbox,
      );
      for await (const message of replies) {
        if (message.headers?.code === 503 && message.data.length === 0) {
          throw new NatsBridgeError("no_responders", "nobody listens on the subject", {
            clause: "REQ-1",
            retryable: true,
          });
        }
        if (isReplyTo(sent, message.data)) return await read(message);
      }
      throw late
        ? new NatsBridgeError("timeout", `no reply within ${timeout} ms`, { clause: "REQ-3" })
        : new NatsBridgeError("connection", "the NATS connection was closed while waiting for the reply");
    } finally {
      clearTimeout(timer);
      replies.unsubscribe();
    }
  }

  /**
   * Answers a message that `receive` has read, in its dialect (REQ-2 to REQ-4).
   *
   * @throws {NatsBridgeError} `invalid_input` where the message asks for no reply that could be given;
   *   those of `send`
   */
  async reply(request, payloads, options = {}) {
    const subject = replySubject(request.natsReply ?? "", request.replyTo);
    if (subject === null) {
      throw new NatsBridgeError("invalid_input", "the message names no subject to answer on", {
        clause: "REQ-2",
      });
    }
    return this.#publish(subject, payloads, { ...replyFields(request), ...options });
  }

  /** Closes the connection, if the bridge made it, once what is being sent has arrived. */
  async close() {
    if (!this.#ownsConnection || this.#connection.isClosed()) return;
    await this.#confirmed().catch(() => {}); // whoever waits for a send is told by it
    await this.#connection.close();
  }
}

/**
 * Sends one message over a connection of its own, with the arguments and defaults that every port has. For
 * more than one message use a `Bridge`.
 *
 * @param {string} subject
 * @param {Array<object | [string, any, string]>} payloads always a list
 * @param {object} [options] `natsUrl`, `fileserverUrl` (null: none), `sizeThreshold`, envelope fields,
 *   `fileserverUploadHandler`,
 *   `connection` (one that is there already)
 * @returns the envelope as it was sent
 */
export async function smartsend(
  subject,
  payloads,
  { natsUrl = NATS_URL, fileserverUrl = FILESERVER_URL, connection, nats, ...options } = {},
) {
  const defaults = { fileserverUrl, senderId: SENDER_ID };
  const bridge = connection
    ? new Bridge(connection, defaults)
    : await Bridge.connect(natsUrl, { ...defaults, nats });
  try {
    return await bridge.send(subject, payloads, options);
  } finally {
    await bridge.close();
  }
}

/**
 * Reads a NATS message, its bytes or its text, and fetches what is behind its links: from `fileserverUrl`,
 * what that Plik announces as its download domain, and `allowOrigins`, and from nowhere else.
 *
 * @param {object} [options] `fileserverUrl`, `allowOrigins`, `maxRetries` (5), `baseDelay` (100 ms),
 *   `maxDelay` (5000 ms),
 *   `refuseUnverified`, `fileserverDownloadHandler`
 * @returns the envelope's fields, with `payloads` of `{ dataname, data, type }`
 */
export async function smartreceive(message, { fileserverUrl = FILESERVER_URL, ...options } = {}) {
  return receiveWith(message, { fileserverUrl, ...options }, fileserverUrl ? new Plik(fileserverUrl) : null);
}

async function receiveWith(
  message,
  { fileserverUrl, allowOrigins = [], fileserverDownloadHandler, ...options },
  store,
) {
  const origins = [...allowOrigins, ...(fileserverUrl ? [originOf(fileserverUrl)] : [])];
  const policy = new Policy(origins);
  const policyFor = async (url) => {
    try {
      policy.check(url);
    } catch (refusal) {
      const announced = store instanceof Plik ? await store.downloadOrigin() : null; // POL-8
      if (announced !== null) return new Policy([...origins, announced]);
      throw refusal;
    }
    return policy;
  };
  return open(message, { policyFor, handler: fileserverDownloadHandler, ...options });
}

/** Whatever cannot be read may be the reply, and is let through to be reported. */
function isReplyTo(sent, body) {
  try {
    return decodeEnvelope(body).correlationId === sent.correlationId;
  } catch {
    return true;
  }
}

function storeFor({ fileserverUrl, fileserverUploadHandler, ttl, oneShot }) {
  if (fileserverUploadHandler) return storeOf(fileserverUploadHandler, fileserverUrl);
  return fileserverUrl ? new Plik(fileserverUrl, { ttl, oneShot }) : null;
}

/** Connection options of a URL, whose credentials the NATS client would not look for. */
function serversOf(natsUrl) {
  const found = {};
  const servers = natsUrl.split(",").map((text) => {
    const [, scheme = "", credentials, rest] = /^([a-z]+:\/\/)?(?:([^@/]*)@)?(.*)$/i.exec(text.trim());
    if (credentials !== undefined) {
      const [user, ...pass] = credentials.split(":");
      if (pass.length === 0) found.token = decodeURIComponent(user);
      else Object.assign(found, { user: decodeURIComponent(user), pass: decodeURIComponent(pass.join(":")) });
    }
    return scheme + rest;
  });
  return { servers, ...found };
}

/** ENV-7: every subscriber reads it. */
function withoutCredentials(natsUrl) {
  return natsUrl
    .split(",")
    .map((url) => url.trim().replace(/^([a-z+.-]+:\/\/)?[^/]*@/i, "$1"))
    .join(",");
}
