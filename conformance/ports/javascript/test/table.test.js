// Arrow tables, whole, damaged and hostile.

import * as arrow from "apache-arrow";
import assert from "node:assert/strict";
import { test } from "node:test";
import { readTable, tableOfRows, writeTable } from "../src/table.js";
import { unpackLz4 } from "../src/lz4.js";
import { choices } from "./support.js";

const ROWS = [
  { id: 1, name: "Ann", score: 95.5, ok: true },
  { id: 2n ** 62n, name: "Grüße 👋", score: null, ok: false },
  { id: -3, name: null, score: 0, ok: null },
];

const rowsOf = (table) => table.toArray().map((row) => ({ ...row.toJSON() }));

test("rows become a table and come back", () => {
  const table = readTable(writeTable(ROWS));
  assert.deepEqual(rowsOf(table), [
    { id: 1n, name: "Ann", score: 95.5, ok: true },
    { id: 2n ** 62n, name: "Grüße 👋", score: null, ok: false },
    { id: -3n, name: null, score: 0, ok: null },
  ]);
  assert.equal(readTable(writeTable([])).numRows, 0);
  assert.equal(
    readTable(writeTable([{ n: 2n ** 64n - 1n }]))
      .getChildAt(0)
      .get(0),
    2n ** 64n - 1n,
  );
  for (const bad of [[1], [{ a: 1 }, { a: "x" }], [{ a: 2n ** 64n }], [{ a: {} }]]) {
    assert.throws(
      () => writeTable(bad),
      (error) => error.kind === "invalid_input",
    );
  }
});

const nested = new arrow.Table({
  list: arrow.vectorFromArray([[1, 2], [], [3]], new arrow.List(new arrow.Field("item", new arrow.Int32()))),
  text: arrow.vectorFromArray(["a", "é", null], new arrow.Utf8()),
  words: arrow.vectorFromArray(["x", "y", "x"]),
});

test("streams and files are read, and a cut anywhere is noticed or harmless", () => {
  for (const format of ["stream", "file"]) {
    const whole = arrow.tableToIPC(nested, format);
    assert.equal(JSON.stringify(readTable(whole).toArray()), JSON.stringify(nested.toArray()));
    for (let length = 0; length < whole.length; length++) {
      let table = null;
      try {
        table = readTable(whole.subarray(0, length));
      } catch (error) {
        assert.equal(error.kind, "invalid_table", `${format} of ${length}: ${error.stack}`);
      }
      // Between two messages of a stream nothing is missing: the end-of-stream marker may be.
      if (table !== null)
        assert.ok(format === "stream" && [0, 3].includes(table.numRows), `${format} of ${length} bytes`);
    }
  }
});

test("no damage makes it anything but a table or an error", () => {
  const { below } = choices(4);
  const wholes = ["stream", "file"].map((format) => arrow.tableToIPC(nested, format));
  let refused = 0;
  for (let round = 0; round < 6000; round++) {
    const bytes = new Uint8Array(wholes[round % 2]);
    for (let n = 1 + below(3); n > 0; n--) bytes[below(bytes.length)] = [0, 1, 0x7f, 0x80, 0xff][below(5)];
    try {
      const table = readTable(bytes);
      assert.ok(table.numRows <= 2 ** 31);
      if (table.numRows < 100) table.toArray().forEach((row) => row.toJSON());
    } catch (error) {
      assert.ok(["invalid_table", "limit"].includes(error.kind), error.stack);
      refused++;
    }
  }
  assert.ok(refused > 1000, `${refused}`);
});

test("a table beyond the limit is refused before it is unpacked", () => {
  assert.throws(
    () => readTable(writeTable(ROWS), 100),
    (error) => error.kind === "limit" && error.limit === 100,
  );
});

test("a broken LZ4 frame is refused", () => {
  // Literals only, as any encoder may write them: "abc", then its end.
  const frame = Uint8Array.of(
    0x04,
    0x22,
    0x4d,
    0x18,
    0x60,
    0x40,
    0x82,
    4,
    0,
    0,
    0,
    0x30,
    0x61,
    0x62,
    0x63,
    0,
    0,
    0,
    0,
  );
  assert.equal(Buffer.from(unpackLz4(frame, new Uint8Array(3))).toString(), "abc");
  for (const length of [0, 2, 4]) assert.throws(() => unpackLz4(frame, new Uint8Array(length)), RangeError);
  for (let length = 0; length < frame.length; length++) {
    assert.throws(() => unpackLz4(frame.subarray(0, length), new Uint8Array(3)), RangeError);
  }
  // "ab", then a match of 6 that overlaps itself, then "c".
  const overlapping = Uint8Array.of(
    0x04,
    0x22,
    0x4d,
    0x18,
    0x60,
    0x40,
    0x82,
    7,
    0,
    0,
    0,
    0x22,
    0x61,
    0x62,
    2,
    0,
    0x10,
    0x63,
    0,
    0,
    0,
    0,
  );
  assert.equal(Buffer.from(unpackLz4(overlapping, new Uint8Array(9))).toString(), "ababababc");
});

test("a row of an empty table has no columns", () => {
  assert.equal(tableOfRows([]).numCols, 0);
});
