// Writes the Arrow fixtures of this folder that come from JavaScript, and what a reader must find in them.
//
//   npm install apache-arrow@21.2.0 && node make.mjs
//
// Strings become dictionary columns there unless a type is given.

import { writeFileSync } from "node:fs";
import { Utf8, tableFromArrays, tableToIPC, vectorFromArray } from "apache-arrow";

const rows = 30;
const range = Array.from({ length: rows }, (_, i) => i);
const columns = {
  id: Int32Array.from(range),
  big: BigInt64Array.from(range, (i) => BigInt(i) - 10n),
  score: Float64Array.from(range, (i) => i / 8),
  word: range.map((i) => (i % 5 === 2 ? null : ["eins", "zwei", "drei ö"][i % 3])),
  text: vectorFromArray(range.map((i) => (i % 4 === 1 ? null : `text ${i}`)), new Utf8()),
  ok: range.map((i) => (i % 6 === 3 ? null : i % 2 === 0)),
};

const table = tableFromArrays(columns);
const expected = {
  columns: Object.fromEntries(table.schema.fields.map((field) => [field.name, String(field.type)])),
  metadata: {},
  batch_rows: table.batches.map((batch) => batch.numRows),
  rows: range.map((i) => table.schema.fields.map(({ name }) => table.getChild(name).get(i)))
    .map((row) => row.map((value) => (typeof value === "bigint" ? Number(value) : value))),
};
const folder = new URL(".", import.meta.url);
writeFileSync(new URL("js-stream.arrow", folder), tableToIPC(table, "stream"));
writeFileSync(new URL("js-file.arrow", folder), tableToIPC(table, "file"));
writeFileSync(new URL("js.json", folder), JSON.stringify(expected).replace('"rows":[', '"rows":[\n').replaceAll("],[", "],\n[") + "\n");
