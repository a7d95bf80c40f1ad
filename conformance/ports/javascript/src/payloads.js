// Payload types: values to raw bytes and back (TYPE-).

import { bytesOf, firstInvalidUtf8, textOf, utf8 } from "./bytes.js";
import { beginsWith } from "./envelope.js";
import { NatsBridgeError } from "./errors.js";
import { readJson, readJsonRows, writeJsonBytes } from "./json.js";

/**
 * The raw bytes of a value.
 *
 * | type | value |
 * |---|---|
 * | `text` | a string |
 * | `dictionary` | what JSON can say; BigInts and Maps too |
 * | `table`, `arrowtable` | an Arrow table, a list of rows, or the bytes of an Arrow stream |
 * | `jsontable` | a list of row objects |
 * | any other | bytes: Uint8Array, ArrayBuffer, a view of one, Blob |
 */
export async function serialise(type, value) {
  switch (type) {
    case "text":
      if (typeof value !== "string") throw invalid("text is a string");
      return utf8(value);
    case "dictionary":
      return writeJsonBytes(value);
    case "jsontable":
      if (!Array.isArray(value) || !value.every(isRow)) throw invalid("a jsontable is a list of row objects");
      return writeJsonBytes(value);
    case "table":
    case "arrowtable":
      return (await import("./table.js")).writeTable(value);
    default:
      if (typeof type !== "string" || type === "") throw invalid("a payload has no type");
      if (typeof Blob !== "undefined" && value instanceof Blob)
        return new Uint8Array(await value.arrayBuffer());
      return bytesOf(value);
  }
}

const isRow = (row) => row !== null && typeof row === "object" && !Array.isArray(row);

/**
 * The value of raw bytes: { kind, value }, with the kind `text`, `json`, `rows`, `table` or `bytes`. The type
 * decides how they are read, never `encoding` (TYPE-3).
 *
 * @throws {NatsBridgeError} `invalid_text`, `invalid_json`, `invalid_table`, `limit`
 */
export async function readValue(type, bytes, { maps = false } = {}) {
  switch (type) {
    case "text": {
      const text = textOf(bytes);
      if (text === null) {
        throw new NatsBridgeError("invalid_text", "the text is not UTF-8", {
          clause: "TYPE-1",
          offset: firstInvalidUtf8(bytes),
        });
      }
      return { kind: "text", value: text };
    }
    case "dictionary":
      return { kind: "json", value: readJson(bytes, { maps }) };
    case "jsontable":
      return { kind: "rows", value: readJsonRows(bytes, { maps }) };
    case "table":
    case "arrowtable":
      if (beginsWith(bytes, "[")) return { kind: "rows", value: readJsonRows(bytes, { maps }) }; // TYPE-7
      return { kind: "table", value: (await import("./table.js")).readTable(bytes) };
    case "":
      throw new NatsBridgeError("invalid_payload", "the payload has no type", { clause: "ENV-R8" });
    default:
      return { kind: "bytes", value: bytes };
  }
}

function invalid(message) {
  return new NatsBridgeError("invalid_input", message, { clause: "TYPE-1" });
}
