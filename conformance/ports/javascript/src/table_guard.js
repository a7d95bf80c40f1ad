// Looks through untrusted Arrow bytes before the Arrow library does: frames and headers here, values behind
// it.

import { DataType, UnionMode } from "apache-arrow";
import { textOf } from "./bytes.js";
import { NatsBridgeError } from "./errors.js";
import { BrokenTable, FlatBuffer } from "./flatbuffer.js";

const MAX_NESTING = 64;
const MAGIC = "ARROW1";
const SCHEMA = 1,
  DICTIONARY = 2,
  BATCH = 3; // MessageHeader
const V4 = 3,
  V5 = 4; // MetadataVersion

export function invalidTable(message, offset = null, cause) {
  return new NatsBridgeError("invalid_table", message, { clause: "TYPE-6", offset, cause });
}

const startsWith = (bytes, text) => [...text].every((c, i) => bytes[i] === c.charCodeAt(0));

/**
 * Walks all messages of a stream or file: each inside the input, with a header that makes sense,
 * little-endian, its buffers inside its body, and all of them together within `limit` bytes once they are
 * unpacked.
 *
 * @returns {{ rows: number, lengths: number[] }[]} for each record batch its rows, and the length of every
 *   column of it, nested ones included, in the order of the schema
 */
export function checkFrames(bytes, limit) {
  const walk = new Walk(bytes, limit);
  try {
    if (startsWith(bytes, MAGIC)) walk.file();
    else walk.stream();
    return walk.batches;
  } catch (error) {
    if (error instanceof BrokenTable) throw invalidTable(error.message, walk.at);
    throw error;
  }
}

class Walk {
  at = 0;
  used = 0;
  batches = [];

  constructor(bytes, limit) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.limit = limit;
  }

  /** Up to the end-of-stream marker, or to the end where there is none; nothing behind the marker is read. */
  stream() {
    let hasSchema = false;
    while (this.at < this.bytes.length) {
      const message = this.message(this.at, this.bytes.length);
      if (message === null) break;
      if (message.kind === SCHEMA) {
        if (hasSchema) throw invalidTable("a second schema", this.at);
        hasSchema = true;
        checkSchema(message.header);
      } else {
        if (!hasSchema) throw invalidTable("data before the schema", this.at);
        this.batch(message);
      }
      this.at = message.end;
    }
    if (!hasSchema) throw invalidTable("a table without a schema", this.at);
  }

  /** By the footer: all dictionaries, then all record batches. */
  file() {
    const tail = this.bytes.length - 10;
    const cut = () =>
      invalidTable("a table in the file format does not end as one: it may be cut short", this.bytes.length);
    if (tail < 8 || !startsWith(this.bytes.subarray(tail + 4), MAGIC)) throw cut();
    const footerAt = tail - this.view.getInt32(tail, true);
    if (footerAt < 8 || footerAt >= tail) throw cut();
    this.at = footerAt;
    const footer = new FlatBuffer(this.bytes.subarray(footerAt, tail)).root();
    const schema = footer.child(1);
    if (schema === null) throw invalidTable("the footer holds no schema", footerAt);
    checkSchema(schema);
    const taken = [];
    for (const [field, kind] of [
      [2, DICTIONARY],
      [3, BATCH],
    ]) {
      for (const block of footer.vector(field, 24)) {
        const at = footer.buffer.i64(block);
        const metadataLength = footer.buffer.i32(block + 8);
        const bodyLength = footer.buffer.i64(block + 16);
        if (at < 8 || metadataLength < 0 || bodyLength < 0 || at + metadataLength + bodyLength > footerAt) {
          throw invalidTable("a block of the file lies outside of it", footerAt);
        }
        this.at = at;
        const message = this.message(at, at + metadataLength + bodyLength, at + metadataLength);
        if (message?.kind !== kind)
          throw invalidTable("a block of the file holds another kind of message", at);
        this.batch(message);
        taken.push([at, message.end]);
      }
    }
    taken.sort(([a], [b]) => a - b);
    if (taken.some(([, end], i) => i + 1 < taken.length && taken[i + 1][0] < end)) {
      throw invalidTable("two blocks of the file overlap", footerAt);
    }
  }

  /** The message at a position, whose end may not be above `end`; null for an end-of-stream marker. */
  message(at, end, bodyAt) {
    const word = (from) => {
      if (from + 4 > end) throw invalidTable("the input ends inside the length of a message", at);
      return this.view.getInt32(from, true);
    };
    let from = at + 4;
    let length = word(at);
    if (length === -1) {
      // since 0.15; before that the length came without a marker
      length = word(from);
      from += 4;
    }
    if (length === 0) return null;
    if (length < 0 || from + length > end) throw invalidTable("a message is cut short", at);
    const message = new FlatBuffer(this.bytes.subarray(from, from + length)).root();
    const version = message.scalar(0, "i16");
    if (version !== V4 && version !== V5) throw invalidTable("a message of an unknown version", at);
    const bodyLength = message.scalar(3, "i64");
    const body = bodyAt ?? from + length;
    if (bodyLength < 0 || body + bodyLength > end)
      throw invalidTable("the body of a message is cut short", at);
    const header = message.child(2);
    const kind = message.scalar(1, "u8");
    if (header === null || ![SCHEMA, DICTIONARY, BATCH].includes(kind))
      throw invalidTable("a message of an unknown kind", at);
    return { kind, header, body, bodyLength, end: body + bodyLength };
  }

  /** The nodes and buffers of a record batch or a dictionary. */
  batch({ kind, header, body, bodyLength }) {
    const data = kind === DICTIONARY ? header.child(1) : header;
    if (data === null) throw invalidTable("a dictionary without values", this.at);
    const { buffer } = data;
    const rows = data.scalar(0, "i64");
    if (rows < 0 || rows > 2 ** 31) throw invalidTable("a number of rows that cannot be", this.at);
    const lengths = data.vector(1, 16).map((node) => {
      const [length, nulls] = [buffer.i64(node), buffer.i64(node + 8)];
      if (length < 0 || length > 2 ** 31 || nulls < 0 || nulls > length)
        throw invalidTable("a column's length cannot be", this.at);
      return length;
    });
    if (kind === BATCH) this.batches.push({ rows, lengths });
    else if (lengths[0] !== rows) throw invalidTable("a dictionary is not as long as it says", this.at);
    const isCompressed = data.child(3) !== null;
    for (const region of data.vector(2, 16)) {
      const [offset, length] = [buffer.i64(region), buffer.i64(region + 8)];
      if (offset < 0 || length < 0 || offset + length > bodyLength)
        throw invalidTable("a buffer lies outside of its body", this.at);
      let unpacked = length;
      if (isCompressed && length > 0) {
        if (length < 8) throw invalidTable("a compressed buffer without its length", this.at);
        const prefix = Number(this.view.getBigInt64(body + offset, true));
        if (prefix < -1) throw invalidTable("a compressed buffer of negative length", this.at);
        unpacked = Math.max(prefix, length - 8);
      }
      this.used += unpacked;
      if (this.used > this.limit) {
        throw new NatsBridgeError("limit", "the table's buffers hold more bytes than the limit", {
          clause: "TYPE-6",
          offset: this.at,
          needed: this.used,
          limit: this.limit,
        });
      }
    }
    for (const count of data.vector(4, 8)) {
      if (buffer.i64(count) < 0 || buffer.i64(count) > data.vector(2, 16).length)
        throw invalidTable("a count of buffers cannot be", this.at);
    }
  }
}

function checkSchema(schema) {
  if (schema.scalar(0, "i16") !== 0) throw invalidTable("the Arrow data is big-endian");
  schema.vector(2, 4);
  for (const field of schema.tables(1)) checkField(field, 1);
}

function checkField(field, depth) {
  if (depth > MAX_NESTING) throw invalidTable("a table nested too deeply");
  field.vector(6, 4);
  field.child(3);
  const dictionary = field.child(4);
  if (dictionary !== null) dictionary.child(1);
  for (const child of field.tables(5)) checkField(child, depth + 1);
}

/**
 * Every column is as long as its batch: the library would fill a short one with nulls, and cut a long one.
 */
export function checkLengths({ rows, lengths }, fields) {
  const columnsOf = ({ type }) =>
    1 +
    (DataType.isDictionary(type)
      ? 0
      : (type.children ?? []).reduce((sum, child) => sum + columnsOf(child), 0));
  let at = 0;
  for (const field of fields) {
    if (lengths[at] !== rows) throw invalidTable("a column is not as long as its batch");
    at += columnsOf(field);
  }
  if (at !== lengths.length) throw invalidTable("a batch has other columns than the schema");
}

/**
 * Checks what was loaded: every value inside its buffers, offsets that only grow, text in UTF-8, indices
 * inside their dictionary. The library itself would hand over `undefined`, or the bytes of a neighbour.
 */
export function checkData(data, atLeastRows = 0) {
  const { type, length } = data;
  if (length < atLeastRows) throw invalidTable("a nested column is cut short");
  if (
    data.nullCount > 0 &&
    !DataType.isNull(type) &&
    !DataType.isUnion(type) &&
    data.nullBitmap.length * 8 < length
  ) {
    throw invalidTable("a column's validity is cut short");
  }
  const values = data.values?.length ?? 0;
  const atLeast = (needed) => {
    if (values < needed) throw invalidTable("a column's values are cut short");
  };
  if (DataType.isNull(type)) return;
  if (DataType.isDictionary(type)) {
    atLeast(length);
    checkIndices(data);
  } else if (
    DataType.isUtf8(type) ||
    DataType.isLargeUtf8(type) ||
    DataType.isBinary(type) ||
    DataType.isLargeBinary(type)
  ) {
    const [first, last] = checkOffsets(data, values);
    if (DataType.isUtf8(type) || DataType.isLargeUtf8(type)) checkText(data, first, last);
  } else if (DataType.isUtf8View(type) || DataType.isBinaryView(type)) {
    atLeast(16 * length);
    checkViews(data, DataType.isUtf8View(type));
  } else if (DataType.isList(type) || DataType.isLargeList?.(type) || DataType.isMap(type)) {
    checkOffsets(data, data.children[0]?.length ?? 0);
    checkData(data.children[0]);
  } else if (DataType.isFixedSizeList(type)) {
    checkData(data.children[0], length * type.listSize);
  } else if (DataType.isStruct(type)) {
    for (const child of data.children) {
      if (child.length !== length) throw invalidTable("a nested column has another length");
      checkData(child);
    }
  } else if (DataType.isUnion(type)) {
    checkUnion(data);
  } else if (DataType.isBool(type)) {
    atLeast(Math.ceil(length / 8));
  } else {
    if (!(data.stride > 0)) throw invalidTable("a column of a width that cannot be");
    atLeast(length * data.stride);
  }
}

function checkOffsets({ valueOffsets, length }, available) {
  if (length === 0) return [0, 0];
  if (!valueOffsets || valueOffsets.length <= length) throw invalidTable("a column's offsets are cut short");
  let last = valueOffsets[0];
  if (last < 0) throw invalidTable("an offset is negative");
  for (let i = 1; i <= length; i++) {
    if (valueOffsets[i] < last) throw invalidTable("an offset is smaller than the one before it");
    last = valueOffsets[i];
  }
  if (last > available) throw invalidTable("an offset lies outside of the values");
  return [Number(valueOffsets[0]), Number(last)];
}

function checkText({ values, valueOffsets, length }, first, last) {
  if (textOf(values.subarray(first, last)) === null) throw invalidTable("a text is not UTF-8");
  for (let i = 1; i < length; i++) {
    const at = Number(valueOffsets[i]);
    if (at < last && (values[at] & 0xc0) === 0x80) throw invalidTable("a text is cut inside a character");
  }
}

function checkViews(data, isText) {
  const { values, variadicBuffers, length } = data;
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
  for (let i = 0; i < length; i++) {
    if (!data.getValid(i)) continue;
    const at = 16 * i;
    const size = view.getInt32(at, true);
    if (size < 0) throw invalidTable("a view of negative length");
    let bytes;
    if (size <= 12) bytes = values.subarray(at + 4, at + 4 + size);
    else {
      const buffer = variadicBuffers[view.getInt32(at + 8, true)];
      const offset = view.getInt32(at + 12, true);
      if (!buffer || offset < 0 || offset + size > buffer.length)
        throw invalidTable("a view lies outside of its buffer");
      bytes = buffer.subarray(offset, offset + size);
    }
    if (isText && textOf(bytes) === null) throw invalidTable("a text is not UTF-8");
  }
}

function checkIndices(data) {
  const { dictionary, values, length } = data;
  const size = dictionary?.length ?? 0;
  for (let i = 0; i < length; i++) {
    if (data.getValid(i) && !(values[i] >= 0 && values[i] < size))
      throw invalidTable("an index lies outside of its dictionary");
  }
  for (const chunk of dictionary?.data ?? []) checkData(chunk);
}

function checkUnion({ type, typeIds, valueOffsets, children, length }) {
  if ((typeIds?.length ?? 0) < length) throw invalidTable("a union's types are cut short");
  const isDense = type.mode === UnionMode.Dense;
  for (let i = 0; i < length; i++) {
    const child = children[type.typeIdToChildIndex[typeIds[i]]];
    const at = isDense ? valueOffsets?.[i] : i;
    if (!child || !(at >= 0 && at < child.length)) throw invalidTable("a union points outside of itself");
  }
  for (const child of children) checkData(child);
}
