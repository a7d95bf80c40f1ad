// Rules that are pure functions: planner, policy, retries, subjects, replies, times.

import assert from "node:assert/strict";
import { test } from "node:test";
import { plan } from "../src/plan.js";
import { readUpload } from "../src/plik.js";
import { Policy, parseLink } from "../src/policy.js";
import { generator, isRetryableStatus, retryAfterMs, retryDelay } from "../src/retry.js";
import { checkSubject, replySubject } from "../src/subjects.js";
import { formatTimestamp, parseTimestamp } from "../src/timestamp.js";
import { utf8 } from "../src/bytes.js";
import { choices } from "./support.js";

const kindOf = (call) => {
  try {
    call();
    return null;
  } catch (error) {
    return error.kind ?? error;
  }
};

test("the plan is that of a planner that tries everything step by step", () => {
  const { below } = choices(5);
  const naive = ({ payloads, threshold, maxPayload, baseLength, hasStore }) => {
    const link = payloads.map(({ size }) => size >= threshold);
    if (link.includes(true) && !hasStore) return "no_store";
    const length = () =>
      payloads.reduce(
        (sum, p, i) => sum + (link[i] ? p.linkLength : p.directLength),
        baseLength + Math.max(0, payloads.length - 1),
      );
    while (length() > maxPayload) {
      let best = -1;
      payloads.forEach((p, i) => {
        const saved = p.directLength - p.linkLength;
        if (
          hasStore &&
          !link[i] &&
          saved > 0 &&
          (best < 0 || saved > payloads[best].directLength - payloads[best].linkLength)
        )
          best = i;
      });
      if (best < 0) return "too_large";
      link[best] = true;
    }
    return link.map((isLink) => (isLink ? "link" : "direct"));
  };
  const seen = new Set();
  for (let round = 0; round < 5000; round++) {
    const payloads = Array.from({ length: below(5) }, () => {
      const size = below(12);
      return { size, directLength: 4 + 4 * Math.ceil(size / 3), linkLength: 6 + below(8) };
    });
    const input = {
      payloads,
      threshold: 8 + below(6),
      maxPayload: 20 + below(60),
      baseLength: 10,
      hasStore: below(4) > 0,
    };
    const expected = naive(input);
    const found = typeof expected === "string" ? kindOf(() => plan(input)) : plan(input);
    assert.deepEqual(found, expected, JSON.stringify(input));
    seen.add(String(expected));
  }
  assert.ok(seen.has("no_store") && seen.has("too_large") && seen.size > 10);
});

test("a wait is between half of its ceiling and the ceiling, whatever the retry", () => {
  const random = generator(6);
  for (const [retry, ceiling] of [
    [1, 100],
    [2, 200],
    [6, 3200],
    [7, 5000],
    [50, 5000],
    [5000, 5000],
  ]) {
    const waits = Array.from({ length: 200 }, () => retryDelay(retry, random));
    assert.ok(
      waits.every((ms) => ms >= ceiling / 2 && ms <= ceiling),
      `${retry}`,
    );
    assert.ok(Math.max(...waits) - Math.min(...waits) > ceiling / 4, "they differ");
  }
  assert.equal(
    retryDelay(1, () => 0, { retryAfterMs: 700 }),
    700,
  );
  assert.equal(
    retryDelay(1, () => 0, { retryAfterMs: 7e9 }),
    5000,
  );
  assert.equal(
    retryDelay(9, () => 0.5, { baseDelay: 0 }),
    0,
  );
  assert.deepEqual(Array.from({ length: 3 }, generator(1)), Array.from({ length: 3 }, generator(1)));
  assert.equal(retryAfterMs("3"), 3000);
  assert.equal(retryAfterMs("Sun, 06 Nov 1994 08:49:37 GMT", 784111770000), 7000);
  assert.equal(retryAfterMs("soon"), 0);
  assert.deepEqual([408, 425, 429, 500, 599].map(isRetryableStatus), Array(5).fill(true));
  assert.deepEqual([200, 206, 301, 400, 403, 404, 600].map(isRetryableStatus), Array(7).fill(false));
});

test("an allowed origin allows its spellings and nothing near it", () => {
  const policy = new Policy(["http://localhost:8080", "https://files.example.org/"]);
  for (const url of [
    "http://localhost:8080/a",
    "HTTP://LOCALHOST:8080/a",
    "http://127.0.0.1:8080",
    "http://[::1]:8080/?q",
    "https://files.example.org/a",
    "https://FILES.example.org:443/a",
  ]) {
    assert.equal(
      kindOf(() => policy.check(url)),
      null,
      url,
    );
  }
  for (const url of [
    "http://localhost/a",
    "https://localhost:8080/a",
    "http://localhost.:8080/a",
    "http://127.0.0.2:8080/a",
    "http://[::ffff:127.0.0.1]:8080/a",
    "http://2130706433:8080/",
    "http://0x7f.1:8080/",
    "http://127.1:8080/",
    "http://localhost:8080@evil/",
    "http://user@localhost:8080/",
    "http:\\\\localhost:8080\\",
    "http://localhost:8080\\@evil/",
    "http://localhost:8080/\n",
    "\thttp://localhost:8080/",
    "ht\ntp://localhost:8080/",
    "http:localhost:8080/",
    "//localhost:8080/",
    "http://ｌｏｃａｌｈｏｓｔ:8080/",
    "http://localhost%00:8080/",
    "http://files.example.org/a",
    "https://files.example.org.evil/",
  ]) {
    assert.equal(
      kindOf(() => policy.check(url)),
      "link_refused",
      url,
    );
  }
  assert.throws(
    () => new Policy().check("http://files/SECRET"),
    (error) => /allowOrigins/.test(error.message) && !/SECRET/.test(error.message),
  );
  for (const origin of ["http://h/x", "h:80", "ftp://h", "http://u@h", "http://h?q"]) {
    assert.equal(
      kindOf(() => new Policy([origin])),
      "invalid_input",
      origin,
    );
  }
});

test("what passes goes to the same place for the platform's URL", () => {
  const { of, below } = choices(7);
  const pieces = [
    "http://",
    "https://",
    "h",
    "127.0.0.1",
    "[::1]",
    "[2001:db8::7]",
    ".",
    ":",
    "80",
    "/",
    "?",
    "#",
    "@",
    "%41",
    "%",
    " ",
    "é",
    "\\",
    "a/../b",
    "0x7f",
  ];
  let passed = 0;
  for (let round = 0; round < 50_000; round++) {
    const text =
      of(["http://", "https://", ""]) + Array.from({ length: 1 + below(6) }, () => of(pieces)).join("");
    let link;
    try {
      link = parseLink(text);
    } catch {
      continue;
    }
    passed++;
    const url = new URL(link.request);
    assert.equal(url.hostname, link.host, text);
    assert.equal(url.protocol, `${link.scheme}:`, text);
    assert.equal(Number(url.port || (link.scheme === "http" ? 80 : 443)), link.port, text);
    assert.equal(url.username + url.password + url.hash, "", text);
    assert.match(link.request, /^[!-~]+$/);
    assert.equal(parseLink(link.request).request, link.request, "again it stays the same");
  }
  assert.ok(passed > 2000, `${passed}`);
});

test("a Plik's answers are believed only as far as they make sense", () => {
  const created = (fields) =>
    utf8(JSON.stringify({ id: "u1", uploadToken: "t", downloadDomain: "", expireAt: null, ...fields }));
  const added = (fields) => utf8(JSON.stringify({ id: "f1", fileName: "a b'(1).txt", ...fields }));
  const read = (one, two) => readUpload("http://Files:80/", one, two);
  assert.equal(read(created(), added()).url, "http://files/file/u1/f1/a%20b%27%281%29.txt");
  assert.equal(
    read(created({ downloadDomain: "https://dl.example.org/p/" }), added()).url,
    "https://dl.example.org/p/file/u1/f1/a%20b%27%281%29.txt",
  );
  assert.equal(
    read(created({ expireAt: "2026-03-01T12:00:00.9999Z" }), added()).expiresAt,
    "2026-03-01T12:00:00.999Z",
  );
  for (const [one, two] of [
    [{ id: "../x" }, {}],
    [{ id: "" }, {}],
    [{ uploadToken: "a\r\nb" }, {}],
    [{ downloadDomain: "ftp://x" }, {}],
    [{ downloadDomain: "http://u@x" }, {}],
    [{ downloadDomain: 7 }, {}],
    [{}, { fileName: ".." }],
    [{}, { fileName: "a/b" }],
    [{}, { id: 7 }],
  ]) {
    assert.equal(
      kindOf(() => read(created(one), added(two))),
      "store",
      JSON.stringify([one, two]),
    );
  }
  assert.equal(
    kindOf(() => read(utf8("<html>"), added())),
    "store",
  );
});

test("subjects", () => {
  for (const [subject, publish, subscribe] of [
    ["/chat/room1", true, true],
    ["a.b", true, true],
    ["a*b.c>", true, true],
    ["a.*", false, true],
    [">", false, true],
    ["a.>.b", false, false],
    ["", false, false],
    ["a..b", false, false],
    ["a b", false, false],
    ["a\r\nPUB x 0", false, false],
    ["a\u00a0b", false, false],
    ["привет", true, true],
  ]) {
    assert.equal(kindOf(() => checkSubject(subject)) === null, publish, subject);
    assert.equal(kindOf(() => checkSubject(subject, "subscribe")) === null, subscribe, subject);
  }
  assert.equal(replySubject("_INBOX.1", "app"), "_INBOX.1");
  assert.equal(replySubject("$JS.ACK.s.c.1", "app"), "app");
  assert.equal(replySubject("$SYS.x", "app"), null);
  assert.equal(replySubject("", ""), null);
});

test("times", () => {
  for (const text of [
    "2024-02-29T10:30:00.123Z",
    "2024-02-29 11:30:00.123+01:00",
    "2024-02-29T10:30:00.123000000",
    "2024-02-29t05:30:00,123-0500",
  ]) {
    assert.equal(parseTimestamp(text), 1709202600123000000n, text);
  }
  for (const text of [
    "",
    "2023-02-29T00:00:00Z",
    "2024-02-29T24:00:00Z",
    "2024-02-29T10:30:00.Z",
    "2024-02-29T10:30:00.1234567890Z",
    "2024-02-29",
    "1969-12-31T23:59:59Z",
  ]) {
    assert.equal(parseTimestamp(text), null, text);
  }
  assert.equal(formatTimestamp(1709202600123), "2024-02-29T10:30:00.123Z");
});
