// Payload types: values to raw bytes and back (TYPE-).

import * as arrow from "apache-arrow";
import { isUtf8 } from "node:buffer";
import { PeerError, compact, firstInvalidUtf8, parse, toPlain } from "./strict_json.mjs";

/** The raw bytes for one entry (a Map) of a spec file: `path`, `text`, `json` or `rows`. */
export function serialise(type, entry, readFile) {
  if (entry.has("path")) return readFile(entry.get("path"));
  if (entry.has("text")) return Buffer.from(entry.get("text"));
  if (entry.has("json")) return Buffer.from(compact(entry.get("json")));
  if (entry.has("rows")) {
    const rows = entry.get("rows");
    return type === "table" || type === "arrowtable" ? rowsToArrow(rows) : Buffer.from(compact(rows));
  }
  throw new PeerError("TYPE-1", "a spec entry needs path, text, json or rows");
}

/** What a reader hands over besides the bytes: { text }, { value }, { rows } or nothing. */
export function readValue(type, raw) {
  switch (type) {
    case "text":
      if (!isUtf8(raw)) throw new PeerError("TYPE-1", "the text is not UTF-8", firstInvalidUtf8(raw));
      return { text: raw.toString("utf8") };
    case "dictionary":
      return { value: toPlain(parse(raw, "TYPE-4", "TYPE-4")) };
    case "jsontable":
      return { rows: jsonRows(raw) };
    case "table":
    case "arrowtable":
      return { rows: beginsWithBracket(raw) ? jsonRows(raw) : arrowToRows(raw) }; // TYPE-7
    default:
      return {};
  }
}

function beginsWithBracket(raw) {
  return raw[raw.findIndex((byte) => ![0x20, 0x09, 0x0a, 0x0d].includes(byte))] === 0x5b;
}

function jsonRows(raw) {
  const root = parse(raw, "TYPE-5", "TYPE-4");
  if (root.kind !== "array") throw new PeerError("TYPE-5", "the rows are not an array", root.start);
  const odd = root.held.find((row) => row.kind !== "object");
  if (odd) throw new PeerError("TYPE-5", "a row is not an object", odd.start);
  return toPlain(root);
}

/** Columns in order of first appearance; strings as dictionaries, as `tableFromArrays` writes them. */
export function rowsToArrow(rows) {
  const names = new Set(rows.flatMap((row) => [...row.keys()]));
  const columns = {};
  for (const name of names) {
    const cells = rows.map((row) => row.get(name) ?? null);
    columns[name] = column(name, cells);
  }
  return Buffer.from(arrow.tableToIPC(new arrow.Table(columns), "stream"));
}

function column(name, cells) {
  const present = cells.filter((cell) => cell !== null);
  const every = (test) => present.length > 0 && present.every(test);
  const isNumber = (cell) => typeof cell === "number" || typeof cell === "bigint";
  const isInteger = (cell) => typeof cell === "bigint" || Number.isInteger(cell);
  const map = (convert) => cells.map((cell) => (cell === null ? null : convert(cell)));
  if (every(isNumber) && every(isInteger)) return arrow.vectorFromArray(map(BigInt), new arrow.Int64());
  if (every(isNumber)) return arrow.vectorFromArray(map(Number), new arrow.Float64());
  if (every((cell) => typeof cell === "boolean")) return arrow.vectorFromArray(cells, new arrow.Bool());
  if (present.length === 0) return arrow.vectorFromArray(cells, new arrow.Null());
  if (!every((cell) => typeof cell === "string")) {
    throw new PeerError("TYPE-6", `the column ${name} mixes kinds of values`);
  }
  return arrow.vectorFromArray(cells, new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32()));
}

/** TYPE-6: either container, little-endian only. This library has no LZ4 or ZSTD of its own. */
export function arrowToRows(raw) {
  try {
    const isFile = raw.toString("latin1", 0, 6) === "ARROW1";
    if (isBigEndian(isFile ? raw.subarray(8) : raw)) throw new PeerError("TYPE-6", "the Arrow data is big-endian");
    // A copy of its own: the library wants aligned buffers.
    const table = arrow.tableFromIPC(new Uint8Array(raw));
    const columns = table.schema.fields.map((field, i) => [field.name, table.getChildAt(i)]);
    return Array.from({ length: table.numRows }, (_, row) =>
      new Map(columns.map(([name, vector]) => [name, plain(vector.get(row))])));
  } catch (error) {
    if (error instanceof PeerError) throw error;
    throw new PeerError("TYPE-6", `the Arrow data cannot be read: ${error.message}`);
  }
}

/** Looks the endianness up in the schema message, because a reader may swap silently. */
function isBigEndian(stream) {
  const start = stream.readUInt32LE(0) === 0xffffffff ? 8 : 4; // the legacy framing has no marker
  const message = start + stream.readUInt32LE(start);
  const header = tableField(stream, message, 2);
  if (header === null) return false;
  const endianness = tableField(stream, header + stream.readUInt32LE(header), 0);
  return endianness !== null && stream.readInt16LE(endianness) === 1;
}

/** Where field `index` of a FlatBuffers table is, or null where it has its default. */
function tableField(buffer, table, index) {
  const vtable = table - buffer.readInt32LE(table);
  if (4 + 2 * index >= buffer.readUInt16LE(vtable)) return null;
  const offset = buffer.readUInt16LE(vtable + 4 + 2 * index);
  return offset === 0 ? null : table + offset;
}

/** What JSON can say of an Arrow value. */
function plain(value) {
  if (value === null || value === undefined) return null;
  if (typeof value === "number" && !Number.isFinite(value)) {
    return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf"; // Python's words
  }
  if (["number", "bigint", "string", "boolean"].includes(typeof value)) return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (value instanceof Date) return value.toISOString();
  if (value instanceof arrow.Vector) return Array.from(value, plain);
  if (value instanceof arrow.StructRow || value instanceof arrow.MapRow) {
    return new Map(Object.entries(value.toJSON()).map(([key, item]) => [key, plain(item)]));
  }
  return String(value);
}
