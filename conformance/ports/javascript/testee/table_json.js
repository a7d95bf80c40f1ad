// An Arrow table in the protocol's words: the stored values, not what JavaScript makes of them.

import { DataType } from "apache-arrow";
import { hex } from "../src/bytes.js";
import { showString } from "./protocol.js";

export function showTable(table) {
  const columns = table.schema.fields.map((field, index) => ({
    name: showString(field.name),
    type: typeName(field.type),
    values: table.batches.flatMap((batch) => {
      const data = batch.data.children[index];
      return Array.from({ length: batch.numRows }, (_, row) => cell(data, row));
    }),
  }));
  return { columns, rows: table.numRows };
}

function typeName(type) {
  if (DataType.isDictionary(type)) return typeName(type.dictionary);
  if (DataType.isInt(type)) return `${type.isSigned ? "" : "u"}int${type.bitWidth}`;
  if (DataType.isFloat(type)) return `float${[16, 32, 64][type.precision]}`;
  if (DataType.isDate(type)) return `date${type.unit === 0 ? 32 : 64}`;
  if (DataType.isTime(type)) return `time${type.bitWidth}`;
  for (const [test, name] of NAMES) if (DataType[test](type)) return name;
  return String(type).toLowerCase();
}

const NAMES = [
  ["isNull", "null"],
  ["isBool", "bool"],
  ["isUtf8", "utf8"],
  ["isLargeUtf8", "utf8"],
  ["isUtf8View", "utf8"],
  ["isBinary", "binary"],
  ["isLargeBinary", "binary"],
  ["isBinaryView", "binary"],
  ["isFixedSizeBinary", "binary"],
  ["isTimestamp", "timestamp"],
  ["isDuration", "duration"],
  ["isDecimal", "decimal"],
  ["isInterval", "interval"],
  ["isList", "list"],
  ["isLargeList", "list"],
  ["isFixedSizeList", "list"],
  ["isStruct", "struct"],
  ["isMap", "map"],
  ["isUnion", "union"],
];

/** The value at a row of one batch's column. */
function cell(data, row) {
  const { type, values, valueOffsets, children } = data;
  if (DataType.isNull(type) || !data.getValid(row)) return null;
  if (DataType.isDictionary(type)) return ofVector(data.dictionary, values[row]);
  if (DataType.isBool(type)) {
    const bit = data.offset + row;
    return ((values[bit >> 3] >> (bit % 8)) & 1) === 1;
  }
  if (DataType.isFloat(type)) return float(type.precision === 0 ? half(values[row]) : values[row]);
  if (DataType.isUtf8(type) || DataType.isLargeUtf8(type)) return text(slice(data, row));
  if (DataType.isBinary(type) || DataType.isLargeBinary(type)) return { hex: hex(slice(data, row)) };
  if (DataType.isUtf8View(type)) return text(view(data, row));
  if (DataType.isBinaryView(type)) return { hex: hex(view(data, row)) };
  if (DataType.isFixedSizeBinary(type))
    return { hex: hex(values.subarray(row * type.byteWidth, (row + 1) * type.byteWidth)) };
  if (DataType.isDecimal(type)) return decimal(values.subarray(row * data.stride, (row + 1) * data.stride));
  if (DataType.isList(type) || DataType.isLargeList(type))
    return range(children[0], valueOffsets[row], valueOffsets[row + 1]);
  if (DataType.isFixedSizeList(type))
    return range(children[0], row * type.listSize, (row + 1) * type.listSize);
  if (DataType.isMap(type)) return range(children[0], valueOffsets[row], valueOffsets[row + 1]);
  if (DataType.isStruct(type)) return children.map((child) => cell(child, row));
  if (DataType.isUnion(type)) {
    const child = children[type.typeIdToChildIndex[data.typeIds[row]]];
    return cell(child, type.mode === 1 ? valueOffsets[row] : row);
  }
  if (data.stride === 2) {
    // 64 bits in two halves
    return ((BigInt(values[2 * row + 1]) << 32n) | BigInt(values[2 * row] >>> 0)).toString();
  }
  return values[row].toString();
}

function ofVector(vector, index) {
  let left = Number(index);
  for (const chunk of vector.data) {
    if (left < chunk.length) return cell(chunk, left);
    left -= chunk.length;
  }
  throw new RangeError("an index outside of its dictionary");
}

const range = (child, from, to) =>
  Array.from({ length: Number(to) - Number(from) }, (_, i) => cell(child, Number(from) + i));
const slice = ({ values, valueOffsets }, row) =>
  values.subarray(Number(valueOffsets[row]), Number(valueOffsets[row + 1]));
const text = (bytes) => showString(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));

function view({ values, variadicBuffers }, row) {
  const words = new DataView(values.buffer, values.byteOffset + 16 * row, 16);
  const size = words.getInt32(0, true);
  if (size <= 12) return values.subarray(16 * row + 4, 16 * row + 4 + size);
  const offset = words.getInt32(12, true);
  return variadicBuffers[words.getInt32(8, true)].subarray(offset, offset + size);
}

function decimal(words) {
  let value = 0n;
  for (let i = words.length - 1; i >= 0; i--) value = (value << 32n) | BigInt(words[i]);
  return BigInt.asIntN(32 * words.length, value).toString();
}

function float(value) {
  if (Number.isNaN(value)) return { f: "nan" };
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  return { f: hex(new Uint8Array(bits.buffer)) };
}

/** A half-precision float from its bits. */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}
