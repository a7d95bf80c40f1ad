// The types of the public API. The documentation of behaviour is with the code, and in README.md.

import type {
  ConnectionOptions,
  Msg,
  NatsConnection,
  Subscription,
  SubscriptionOptions,
} from "@nats-io/nats-core";
import type { RecordBatch, Table } from "apache-arrow";

/** The two spellings of the envelope's keys; `camel` is written unless told otherwise. */
export type Dialect = "camel" | "snake";

/** What the format knows. Any other name that is not empty is carried as bytes. */
export type PayloadType =
  | "text"
  | "dictionary"
  | "table"
  | "arrowtable"
  | "jsontable"
  | "image"
  | "audio"
  | "video"
  | "binary"
  | (string & {});

/**
 * What JSON can say. Integers above 2^53 are BigInts; a Map is an object that keeps the order of its keys.
 */
export type Json =
  null | boolean | number | bigint | string | Json[] | { [key: string]: Json } | Map<string, Json>;

/** Metadata of a message or payload, as it is given. */
export type Metadata = { [key: string]: Json } | Map<string, Json>;

/** Anything that holds bytes. */
export type Bytes = Uint8Array | ArrayBuffer | ArrayBufferView | Blob;

/** The twelve string fields of an envelope. */
export interface EnvelopeFields {
  correlationId: string;
  msgId: string;
  /** UTC with milliseconds when written; opaque text when read. */
  timestamp: string;
  sendTo: string;
  msgPurpose: string;
  senderName: string;
  senderId: string;
  receiverName: string;
  receiverId: string;
  replyTo: string;
  replyToMsgId: string;
  /** Without user, password and token. */
  brokerURL: string;
}

// --- sending -------------------------------------------------------------------------------

/** A payload to send; `bytes` instead of `data` are raw bytes that are there already. */
export type Payload =
  | { dataname: string; type: PayloadType; data: unknown; metadata?: Metadata }
  | { dataname: string; type: PayloadType; bytes: Exclude<Bytes, Blob>; metadata?: Metadata }
  | [dataname: string, data: unknown, type: PayloadType];

/** What an upload handler answers with; `token` lets a failed send take the upload back. */
export interface Upload {
  url: string;
  status?: number;
  uploadid?: string;
  fileid?: string;
  token?: string;
  /** Until when the store keeps it, in the form of the envelope's timestamp. */
  expiresAt?: string | null;
}

export type UploadHandler = (fileserverUrl: string, dataname: string, data: Uint8Array) => Promise<Upload>;

export interface SendOptions extends Partial<Omit<EnvelopeFields, "brokerURL">> {
  dialect?: Dialect;
  metadata?: Metadata;
  /**
   * Payloads of this many raw bytes and more travel by link. Default 1,000,000, in the snake dialect 500,000.
   */
  sizeThreshold?: number;
  /** Seconds that the Plik keeps an upload. Default 86,400. */
  ttl?: number;
  /** Whether the Plik deletes a file at its first download, even one that breaks off. Default false. */
  oneShot?: boolean;
  /** Another way to upload than a Plik. */
  fileserverUploadHandler?: UploadHandler;
}

/** A message as it was sent. */
export interface SentEnvelope extends EnvelopeFields {
  dialect: Dialect;
  metadata: Metadata;
  payloads: SentPayload[];
  /** The message's length in bytes. */
  byteLength: number;
}

export interface SentPayload {
  id: string;
  dataname: string;
  type: PayloadType;
  transport: "direct" | "link";
  encoding: "base64" | "none";
  /** Raw bytes. */
  size: number;
  /** The raw bytes of a direct payload, the link of a link payload. */
  data: Uint8Array | string;
  metadata: Metadata;
}

// --- receiving -----------------------------------------------------------------------------

export type DownloadHandler = (
  url: string,
  options: { maxRetries: number; baseDelay: number; maxDelay: number; correlationId: string },
) => Promise<Bytes>;

export interface ReceiveOptions {
  /** Origins that links may be fetched from, besides the file server's own: `scheme://host:port`. */
  allowOrigins?: Iterable<string>;
  /** Retries of a download after its first try. Default 5. */
  maxRetries?: number;
  /** The longest wait before the first retry, in ms; it doubles with each one. Default 100. */
  baseDelay?: number;
  /** No wait is longer, in ms. Default 5000. */
  maxDelay?: number;
  /** The most bytes of one download. Default 1 GiB. */
  limit?: number;
  /** Whether to refuse links that carry neither size nor digest. Default false. */
  refuseUnverified?: boolean;
  /** Objects of JSON as Maps, in the order of the text. Default false. */
  maps?: boolean;
  /** Another way to download. It sees every link and decides itself; what it returns is verified. */
  fileserverDownloadHandler?: DownloadHandler;
}

/** A received message. */
export interface ReceivedEnvelope extends EnvelopeFields {
  dialect: Dialect;
  metadata: { [key: string]: Json };
  payloads: ReceivedPayload[];
  /** The subject it came on; null where only its body is known. */
  subject: string | null;
  /** The reply subject of NATS itself; null where there is none. */
  natsReply: string | null;
}

/** One payload of a received message; iterating gives `dataname, data, type`. */
export class ReceivedPayload implements Iterable<unknown> {
  private constructor();
  readonly id: string;
  /** The sender's text: never use it as a path as it is. */
  readonly dataname: string;
  readonly type: PayloadType;
  readonly transport: "direct" | "link" | (string & {});
  readonly encoding: string;
  readonly size: number | bigint | null;
  readonly metadata: { [key: string]: Json };
  readonly url: string | null;
  readonly kind: "text" | "json" | "rows" | "table" | "bytes";
  readonly bytes: Uint8Array | null;
  readonly verified: "digest" | "size" | null;
  readonly notes: string[];
  readonly error: NatsBridgeError | null;
  /** A string, a JSON value, an Arrow table, a list of rows, or bytes. Throws `error` where there is one. */
  get data(): any;
  [Symbol.iterator](): Iterator<any>;
}

// --- the facade ----------------------------------------------------------------------------

export interface BridgeOptions extends SendOptions, ReceiveOptions {
  /** The Plik to upload to, and to fetch from. Default none. */
  fileserverUrl?: string | null;
  /** Written into messages, without its credentials. `Bridge.connect` knows it. */
  brokerURL?: string;
}

/** A bridge over one NATS connection. */
export class Bridge {
  constructor(connection: NatsConnection, options?: BridgeOptions);
  /** `nats`: options of the NATS client. */
  static connect(natsUrl?: string, options?: BridgeOptions & { nats?: ConnectionOptions }): Promise<Bridge>;
  readonly connection: NatsConnection;
  send(subject: string, payloads: Payload[], options?: SendOptions): Promise<SentEnvelope>;
  subscribe(subject: string, options?: SubscriptionOptions): Promise<Subscription>;
  receive(message: Msg | Bytes | string, options?: ReceiveOptions): Promise<ReceivedEnvelope>;
  /** `timeout` in ms, 10,000 by default. */
  request(
    subject: string,
    payloads: Payload[],
    options?: SendOptions & ReceiveOptions & { timeout?: number },
  ): Promise<ReceivedEnvelope>;
  reply(request: ReceivedEnvelope, payloads: Payload[], options?: SendOptions): Promise<SentEnvelope>;
  close(): Promise<void>;
}

export function smartsend(
  subject: string,
  payloads: Payload[],
  options?: SendOptions & {
    /** Default `nats://localhost:4222`. */
    natsUrl?: string;
    /** Default `http://localhost:8080`; null for none. */
    fileserverUrl?: string | null;
    /** A connection that is there already, and stays open. */
    connection?: NatsConnection;
    nats?: ConnectionOptions;
  },
): Promise<SentEnvelope>;

export function smartreceive(
  message: Msg | Bytes | string,
  options?: ReceiveOptions & {
    /** Default `http://localhost:8080`; null for none. */
    fileserverUrl?: string | null;
  },
): Promise<ReceivedEnvelope>;

/** An upload handler: a Plik that keeps the file for 24 hours. */
export const plikUpload: UploadHandler;
/** An upload handler: a Plik that deletes the file at its first download. */
export const plikOneshotUpload: UploadHandler;

// --- parts ---------------------------------------------------------------------------------

export type ErrorKind =
  | "malformed"
  | "limit"
  | "invalid_payload"
  | "invalid_base64"
  | "invalid_text"
  | "invalid_json"
  | "invalid_table"
  | "digest_mismatch"
  | "cut_short"
  | "too_long"
  | "link_refused"
  | "link_gone"
  | "link_failed"
  | "store"
  | "too_large"
  | "no_store"
  | "invalid_subject"
  | "invalid_input"
  | "timeout"
  | "no_responders"
  | "connection"
  | "permission_denied"
  | "unconfirmed";

export class NatsBridgeError extends Error {
  constructor(kind: ErrorKind, message: string, details?: object);
  readonly kind: ErrorKind;
  readonly clause: string;
  readonly offset: number | null;
  readonly dataOffset: number | null;
  readonly needed?: number | bigint;
  readonly limit?: number | bigint;
  readonly retryable: boolean;
  readonly retryAfterMs: number;
}

/** A Plik file server. */
export class Plik {
  constructor(server: string, options?: { ttl?: number; oneShot?: boolean });
  readonly server: string;
  upload(dataname: string, data: Bytes): Promise<Required<Upload>>;
  delete(upload: { url: string; token: string }): Promise<void>;
}

/** What may be fetched. */
export class Policy {
  constructor(origins?: Iterable<string>);
  /** The link as it is to be requested; throws `link_refused`. */
  check(url: string): string;
}

/** A payload of a message that was read: nothing is decoded or fetched yet. */
export interface DecodedPayload {
  id: string;
  dataname: string;
  type: PayloadType;
  transport: string;
  encoding: string;
  size: number | bigint | null;
  metadata: { [key: string]: Json };
  url: string | null;
  error: NatsBridgeError | null;
}

export interface DecodedEnvelope extends EnvelopeFields {
  dialect: Dialect;
  metadata: { [key: string]: Json };
  payloads: DecodedPayload[];
}

/** Reads a message body without NATS. Limits in bytes and payloads: 64 MiB, 4,096. */
export function decodeEnvelope(
  body: Uint8Array | ArrayBuffer,
  options?: { messageLimit?: number; payloadLimit?: number; maps?: boolean },
): DecodedEnvelope;

/** The raw bytes of a direct payload. */
export function directBytes(payload: DecodedPayload): Uint8Array;

/** Writes a message body without NATS: the same input gives the same bytes. */
export function encodeEnvelope(
  envelope: Partial<EnvelopeFields> & {
    dialect: Dialect;
    metadata?: Metadata;
    payloads: Array<
      { id?: string; dataname?: string; type: PayloadType; metadata?: Metadata } & (
        { bytes: Uint8Array } | { url: string; size: number | bigint }
      )
    >;
  },
): Uint8Array;

/** The Arrow types that `table` payloads take and give. */
export type ArrowTable = Table | RecordBatch;
