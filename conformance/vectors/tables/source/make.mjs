// Writes the Arrow streams and files of the table vectors that come from JavaScript: a name and hexadecimal bytes a line.
//
//     npm install apache-arrow@21.2.0 && node make.mjs > javascript.txt

import * as arrow from "apache-arrow";

const show = (name, data) => console.log(name, Buffer.from(data).toString("hex"));
const both = (name, table) => {
  show(`${name}-stream`, arrow.tableToIPC(table, "stream"));
  show(`${name}-file`, arrow.tableToIPC(table, "file"));
};

// What users write: strings become dictionary columns, numbers float64.
both("arrays", arrow.tableFromArrays({
  id: Int32Array.from([1, 2, 3]),
  big: BigInt64Array.from([-1n, 0n, 9007199254740993n]),
  score: [1.5, null, -0.25],
  word: ["eins", null, "drei ö"],
  ok: [true, false, null],
}));
both("json", arrow.tableFromJSON([{ a: 1, b: "x", c: true }, { a: 2.5, b: "y", c: false }]));

const typed = (values, type) => arrow.vectorFromArray(values, type);
both("types", new arrow.Table({
  i8: typed([-128, null, 127], new arrow.Int8()),
  u64: typed([0n, null, 18446744073709551615n], new arrow.Uint64()),
  f32: typed([1.5, null, -0.5], new arrow.Float32()),
  text: typed(["Größe 👋", null, ""], new arrow.Utf8()),
  large: typed(["a", null, "b"], new arrow.LargeUtf8()),
  raw: typed([Uint8Array.of(0, 255), null, Uint8Array.of()], new arrow.Binary()),
  day: typed([new Date(86400000 * 19782), null, new Date(0)], new arrow.DateDay()),
  at: typed([1709202600000, null, 0], new arrow.TimestampMillisecond("UTC")),
  list: typed([[1, 2], null, []], new arrow.List(new arrow.Field("item", new arrow.Int32(), true))),
  place: typed([{ x: 1, y: "é" }, null, { x: 3, y: null }], new arrow.Struct([
    new arrow.Field("x", new arrow.Int16(), true), new arrow.Field("y", new arrow.Utf8(), true)])),
  none: typed([null, null, null], new arrow.Null()),
}));
both("empty", new arrow.Table(new arrow.Schema([new arrow.Field("n", new arrow.Int32(), true)])));
