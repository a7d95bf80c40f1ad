// Arrow tables: IPC streams and files to tables, values to streams (TYPE-6).

import * as arrow from "apache-arrow";
import { Decompress } from "fzstd";
import { bytesOf } from "./bytes.js";
import { NatsBridgeError } from "./errors.js";
import { TABLE_LIMIT } from "./limits.js";
import { unpackLz4 } from "./lz4.js";
import { checkData, checkFrames, checkLengths, invalidTable } from "./table_guard.js";

// The Arrow library hands a codec the compressed bytes alone; what they unpack to stands in the eight bytes
// before them, which `checkFrames` has found inside the body and within the limit.
const unpackedLength = (bytes) =>
  Number(new DataView(bytes.buffer, bytes.byteOffset - 8, 8).getBigInt64(0, true));
arrow.compressionRegistry.set(arrow.CompressionType.LZ4_FRAME, {
  decode: (bytes) => unpackLz4(bytes, new Uint8Array(unpackedLength(bytes))),
});
arrow.compressionRegistry.set(arrow.CompressionType.ZSTD, {
  decode: (bytes) => {
    const out = new Uint8Array(unpackedLength(bytes));
    let to = 0;
    // In pieces: the frame itself may announce any length.
    new Decompress((piece) => {
      out.set(piece, to); // a RangeError where it is too much
      to += piece.length;
    }).push(bytes, true);
    if (to !== out.length) throw new RangeError("a ZSTD frame of another length than announced");
    return out;
  },
});

/**
 * The table in an Arrow IPC stream or file: little-endian, with dictionaries, compressed or not.
 *
 * @returns {arrow.Table}
 * @throws {NatsBridgeError} `invalid_table`, `limit` (bytes of the unpacked buffers, 1 GiB by default)
 */
export function readTable(bytes, limit = TABLE_LIMIT) {
  const aligned = new Uint8Array(bytes); // a copy of its own: the library wants aligned buffers
  const announced = checkFrames(aligned, limit);
  try {
    const table = withAllColumns(arrow.tableFromIPC(aligned));
    announced.forEach((batch) => checkLengths(batch, table.schema.fields));
    for (const batch of table.batches) checkData(batch.data);
    return table;
  } catch (error) {
    if (error instanceof NatsBridgeError) throw error;
    throw invalidTable("the Arrow library cannot read it", null, error);
  }
}

/** The library folds columns of one name into one in the schema; the batches still know them all. */
function withAllColumns(table) {
  for (const batch of table.batches) {
    batch.schema = new arrow.Schema(
      batch.data.type.children,
      batch.schema.metadata,
      batch.schema.dictionaries,
      batch.schema.metadataVersion,
    );
  }
  return table.batches.length === 0 ? table : new arrow.Table(table.batches[0].schema, table.batches);
}

/**
 * An Arrow IPC stream of a table, of a list of rows (objects; columns in order of first appearance), or of
 * the bytes of one, which are checked.
 */
export function writeTable(value) {
  if (value instanceof arrow.Table) return arrow.tableToIPC(value, "stream");
  if (value instanceof arrow.RecordBatch) return arrow.tableToIPC(new arrow.Table([value]), "stream");
  if (Array.isArray(value)) return arrow.tableToIPC(tableOfRows(value), "stream");
  const bytes = bytesOf(value);
  readTable(bytes);
  return bytes;
}

/**
 * The table of a list of rows. Whole numbers (BigInts too) become Int64, other numbers Float64, strings a
 * dictionary of Utf8; null and missing cells are null.
 */
export function tableOfRows(rows) {
  const maps = rows.map((row) => {
    if (row instanceof Map) return row;
    if (row === null || typeof row !== "object" || Array.isArray(row))
      throw invalidInput("a row is an object");
    return new Map(Object.entries(row));
  });
  const columns = {};
  for (const name of new Set(maps.flatMap((row) => [...row.keys()]))) {
    Object.defineProperty(columns, name, {
      value: column(
        name,
        maps.map((row) => row.get(name) ?? null),
      ),
      enumerable: true,
    });
  }
  return new arrow.Table(columns);
}

function column(name, cells) {
  const present = cells.filter((cell) => cell !== null);
  const every = (test) => present.length > 0 && present.every(test);
  const isNumber = (cell) => typeof cell === "number" || typeof cell === "bigint";
  const isWhole = (cell) => typeof cell === "bigint" || Number.isSafeInteger(cell);
  const map = (convert) => cells.map((cell) => (cell === null ? null : convert(cell)));
  if (every(isNumber) && every(isWhole)) {
    const whole = map(BigInt);
    const fits = (low, high) => whole.every((cell) => cell === null || (cell >= low && cell < high));
    if (fits(-(2n ** 63n), 2n ** 63n)) return arrow.vectorFromArray(whole, new arrow.Int64());
    if (fits(0n, 2n ** 64n)) return arrow.vectorFromArray(whole, new arrow.Uint64());
    throw invalidInput(`the column ${name} holds integers that no 64 bits hold`);
  }
  if (every(isNumber)) return arrow.vectorFromArray(map(Number), new arrow.Float64());
  if (every((cell) => typeof cell === "boolean")) return arrow.vectorFromArray(cells, new arrow.Bool());
  if (present.length === 0) return arrow.vectorFromArray(cells, new arrow.Null());
  if (!every((cell) => typeof cell === "string"))
    throw invalidInput(`the column ${name} mixes kinds of values`);
  return arrow.vectorFromArray(cells, new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32()));
}

function invalidInput(message) {
  return new NatsBridgeError("invalid_input", message, { clause: "TYPE-6" });
}
