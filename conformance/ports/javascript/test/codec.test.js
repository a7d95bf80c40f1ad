// Bytes to values and back, without any server.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { Base64Decoder, Base64Encoder, decodeBase64, encodeBase64 } from "../src/base64.js";
import { concat, textOf, utf8 } from "../src/bytes.js";
import { decodeEnvelope, directBytes, encodeEnvelope } from "../src/envelope.js";
import { NatsBridgeError } from "../src/errors.js";
import { readJson, writeJson } from "../src/json.js";
import { readValue } from "../src/payloads.js";
import { sha256Hex } from "../src/sha256.js";
import { verify } from "../src/verify.js";
import { choices, fenced, SPEC } from "./support.js";

const kindOf = (call) => {
  try {
    call();
    return null;
  } catch (error) {
    return error.kind ?? error;
  }
};

test("the worked examples are read and written back byte for byte", () => {
  for (const dialect of ["camel", "snake"]) {
    const [message] = fenced(`example ${dialect}`);
    const envelope = decodeEnvelope(utf8(message), { maps: true });
    assert.equal(envelope.dialect, dialect);
    const payloads = envelope.payloads.map((payload) =>
      payload.url ? payload : { ...payload, url: undefined, bytes: directBytes(payload) },
    );
    assert.equal(textOf(encodeEnvelope({ ...envelope, payloads })), message);
  }
  const lenient = decodeEnvelope(utf8(fenced("example lenient")[0]));
  assert.equal(textOf(directBytes(lenient.payloads[0])), "Hello World!");
});

test("refused messages are refused for the reason that the format gives", () => {
  for (const line of fenced("refused messages")) {
    const [, clause, message] = /^(\S+)\s+(.*)$/.exec(line);
    assert.throws(
      () => decodeEnvelope(utf8(message)),
      (error) => error.kind === "malformed" && error.clause === clause && error.offset !== null,
      line,
    );
  }
});

test("refused payloads leave the message readable", async () => {
  for (const line of fenced("refused payloads")) {
    const [, clause, message] = /^(\S+)\s+(.*)$/.exec(line);
    const [payload] = decodeEnvelope(utf8(message)).payloads;
    const open = async () => {
      const bytes = directBytes(payload);
      await verify(payload, bytes);
      await readValue(payload.type, bytes);
    };
    await assert.rejects(open, (error) => error.clause === clause, line);
  }
});

test("the base64 table of the format", () => {
  const results = { "`ABC`": "414243", "`A`": "41", "bytes fb ff": "fbff", "no bytes": "" };
  let rows = 0;
  for (const row of SPEC.split("| `data`, as a JSON string | result |\n")[1].split("\n").slice(1)) {
    if (!row.startsWith("|")) break;
    const [cells, result] = row
      .slice(1, -1)
      .split(" | ")
      .map((cell) => cell.trim());
    for (const [, data] of cells.matchAll(/`([^`]*)`/g)) {
      const message = utf8(`{"payloads":[{"type":"binary","transport":"direct","data":${data}}]}`);
      const read = () => Buffer.from(directBytes(decodeEnvelope(message).payloads[0])).toString("hex");
      if (result in results) assert.equal(read(), results[result], data);
      else assert.equal(kindOf(read), "invalid_base64", data);
      rows++;
    }
  }
  assert.ok(rows > 20);
});

test("base64 agrees with Node, whole and in pieces", () => {
  const { below, bytes } = choices(1);
  for (let round = 0; round < 500; round++) {
    const raw = bytes(below(200));
    const expected = Buffer.from(raw).toString("base64");
    const characters = encodeBase64(raw);
    assert.equal(textOf(characters), expected);
    assert.deepEqual([...decodeBase64(characters)], [...raw]);
    assert.deepEqual([...decodeBase64(utf8(Buffer.from(raw).toString("base64url")))], [...raw]);

    const encoder = new Base64Encoder();
    const decoder = new Base64Decoder();
    const written = [],
      read = [];
    const at = below(raw.length + 1);
    for (const piece of [raw.subarray(0, at), raw.subarray(at)]) written.push(encoder.push(piece));
    written.push(encoder.finish());
    const cut = below(characters.length + 1);
    for (const piece of [characters.subarray(0, cut), characters.subarray(cut)])
      read.push(decoder.push(piece));
    decoder.finish();
    assert.deepEqual([...concat(written)], [...characters]);
    assert.deepEqual([...concat(read)], [...raw]);
  }
});

test("what base64 is taken is the base64 of the bytes that it gives", () => {
  // An oracle by definition: spell every text of up to 5 characters of a small alphabet.
  const alphabet = ["A", "Q", "R", "/", "_", "=", "\n", "\r", " "];
  const spellings = (raw) => {
    const standard = Buffer.from(raw).toString("base64");
    const forms = new Set();
    for (const text of [standard, standard.replace(/=+$/, "")]) {
      for (const form of [text, text.replaceAll("+", "-").replaceAll("/", "_")]) {
        for (const end of ["", "\n", "\r\n"]) forms.add(form + end);
      }
    }
    return forms;
  };
  let taken = 0;
  const visit = (text) => {
    let raw = null;
    try {
      raw = decodeBase64(utf8(text));
    } catch (error) {
      assert.equal(error.kind, "invalid_base64");
      assert.ok(error.offset >= 0 && error.offset <= text.length, JSON.stringify(text));
    }
    if (raw !== null) {
      taken++;
      assert.ok(spellings(raw).has(text), JSON.stringify(text));
    } else {
      assert.ok(!spellings(Buffer.from(text, "base64")).has(text), JSON.stringify(text));
    }
    if (text.length < 5) for (const next of alphabet) visit(text + next);
  };
  visit("");
  assert.ok(taken > 100);
});

test("an offset in base64 counts from the start of the message, through escapes too", () => {
  for (const [data, offset] of [
    ["QQ!=", 2],
    ["\\u0051\\u0051!=", 12],
    ["QUJD\\nQ", 6],
  ]) {
    const head = '{"payloads":[{"type":"binary","transport":"direct","data":"';
    const [payload] = decodeEnvelope(utf8(`${head}${data}"}]}`)).payloads;
    assert.throws(
      () => directBytes(payload),
      (error) => error.offset === head.length + offset,
      data,
    );
  }
});

test("JSON agrees with JSON.parse about what is JSON, and is stricter about numbers and depth", () => {
  const { below, of } = choices(2);
  const tokens = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"a"',
    '"\\u00e9"',
    '"\\ud83d\\ude00"',
    "1",
    "-0",
    "1.5",
    "2e1",
    "01",
    "tru",
    "true",
    "null",
    " ",
    "\n",
  ];
  let valid = 0;
  for (let round = 0; round < 20_000; round++) {
    const text = Array.from({ length: 1 + below(6) }, () => of(tokens)).join("");
    let expected;
    try {
      expected = JSON.parse(text, (_, value) => {
        if (value === Infinity) throw new RangeError("a number overflows a double");
        return value;
      });
    } catch {
      assert.equal(
        kindOf(() => readJson(utf8(text))),
        "invalid_json",
        text,
      );
      continue;
    }
    valid++;
    assert.deepEqual(readJson(utf8(text)), expected, text);
  }
  assert.ok(valid > 500);
  for (const text of [
    "",
    "\ufeff1",
    "1e400",
    "[1e400]",
    "'a'",
    "nul",
    "[1,]",
    '"\\ud83d"',
    '"\\x"',
    '"\t"',
    "1 2",
    "NaN",
  ]) {
    assert.equal(
      kindOf(() => readJson(utf8(text))),
      "invalid_json",
      text,
    );
  }
  const nested = (depth) => utf8("[".repeat(depth) + "]".repeat(depth));
  assert.equal(
    kindOf(() => readJson(nested(128))),
    null,
  );
  assert.equal(
    kindOf(() => readJson(nested(129))),
    "limit",
  );
});

test("integers of 64 bits are exact, __proto__ is only a key, and the last of equal keys wins", () => {
  const text =
    '{"u":18446744073709551615,"i":-9223372036854775808,"s":9007199254740991,"__proto__":{"x":1},"a":1,"a":2}';
  const value = readJson(utf8(text));
  assert.equal(value.u, 18446744073709551615n);
  assert.equal(value.i, -9223372036854775808n);
  assert.equal(value.s, 9007199254740991);
  assert.equal(value.x, undefined);
  assert.ok(Object.hasOwn(value, "__proto__"));
  assert.equal(value.a, 2);
  assert.equal(writeJson(readJson(utf8('{"b":1,"1":[2,{}]}'), { maps: true })), '{"b":1,"1":[2,{}]}');
});

test("what JSON cannot say is refused", () => {
  const cycle = {};
  cycle.self = cycle;
  for (const value of [
    NaN,
    Infinity,
    undefined,
    "\ud800",
    { a: "\ud800" },
    cycle,
    new Uint8Array(1),
    () => 1,
  ]) {
    assert.equal(
      kindOf(() => writeJson(value)),
      "invalid_input",
    );
  }
  assert.equal(
    writeJson({ a: undefined, b: [undefined], c: new Date(0), d: 1n }),
    '{"b":[null],"c":"1970-01-01T00:00:00.000Z","d":1}',
  );
});

test("SHA-256 agrees with Node", () => {
  const { bytes } = choices(3);
  for (let length = 0; length < 200; length++) {
    const raw = bytes(length);
    assert.equal(sha256Hex(raw), createHash("sha256").update(raw).digest("hex"), `${length} bytes`);
  }
});

test("limits of a message", () => {
  const body = utf8(
    `{"payloads":[${Array(5).fill('{"type":"text","transport":"direct","data":""}').join(",")}]}`,
  );
  assert.equal(decodeEnvelope(body, { payloadLimit: 5, messageLimit: body.length }).payloads.length, 5);
  assert.equal(
    kindOf(() => decodeEnvelope(body, { payloadLimit: 4 })),
    "limit",
  );
  assert.equal(
    kindOf(() => decodeEnvelope(body, { messageLimit: body.length - 1 })),
    "limit",
  );
});

test("damage anywhere gives a message or an error of the port, and never anything else", async () => {
  const { below, of } = choices(8);
  const wholes = ["example camel", "example snake", "example lenient"].map((marker) =>
    utf8(fenced(marker)[0]),
  );
  let refused = 0;
  for (let round = 0; round < 5000; round++) {
    const bytes = Uint8Array.from(wholes[round % 3]);
    for (let n = 1 + below(3); n > 0; n--)
      bytes[below(bytes.length)] = of([...'{}[]",:\\0e-=+/_\n', "\0", "ÿ"]).charCodeAt(0);
    try {
      for (const payload of decodeEnvelope(
        bytes.subarray(0, below(8) === 0 ? below(bytes.length) : undefined),
      ).payloads) {
        if (payload.error) throw payload.error;
        if (payload.transport === "direct") await readValue(payload.type, directBytes(payload));
      }
    } catch (error) {
      assert.ok(error instanceof NatsBridgeError, error.stack);
      refused++;
    }
  }
  assert.ok(refused > 1000 && refused < 5000, `${refused}`);
});
