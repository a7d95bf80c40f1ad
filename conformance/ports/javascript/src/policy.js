// Links: parsed strictly, and what of them may be fetched (POL-).
//
// The URL of the platform is lenient where this has to be strict: it takes `http:\\h`, `http:h`, tabs inside,
// user info, and a dozen spellings of 127.0.0.1. So links are taken apart here, and the platform sees only
// what passed.

import { NatsBridgeError } from "./errors.js";
import { URL_LIMIT } from "./limits.js";

const DEFAULT_PORTS = { http: 80, https: 443 };

/**
 * The parts of an absolute http or https URL.
 *
 * @returns {{ scheme: "http" | "https", host: string, port: number, request: string }} `host` in lower case;
 *   `request` is the whole URL as it is fetched, its path percent-encoded, without its fragment
 * @throws {NatsBridgeError} `link_refused`; the text never repeats the link
 */
export function parseLink(text) {
  if (new TextEncoder().encode(text).length > URL_LIMIT)
    throw refused("POL-5", `the link is longer than ${URL_LIMIT} bytes`);
  if (/\p{Cc}/u.test(text) || !text.isWellFormed())
    throw refused("POL-5", "the link holds a control character");
  if (text.includes("\\")) throw refused("POL-5", "the link holds a backslash");
  const match = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)([^#]*)/i.exec(text);
  const scheme = match?.[1].toLowerCase();
  if (scheme !== "http" && scheme !== "https")
    throw refused("POL-1", "the link is no absolute http or https URL");
  const [, , authority, rest] = match;
  if (authority.includes("@")) throw refused("POL-5", "the link has user info before its host");
  const [, written, portText = ""] = /^(\[[^\]]*\]|[^:[\]]*)(?::(.*))?$/.exec(authority) ?? [];
  if (written === undefined) throw refused("POL-4", "the link's host is not valid");
  const host = written.toLowerCase();
  checkHost(host);
  if (!/^\d{0,5}$/.test(portText)) throw refused("POL-4", "the link's port is not a number");
  const port = portText === "" ? DEFAULT_PORTS[scheme] : Number(portText);
  if (port < 1 || port > 65_535) throw refused("POL-4", "the link's port is out of range");
  const path = encodePath(rest);
  const shownPort = port === DEFAULT_PORTS[scheme] ? "" : `:${port}`;
  return {
    scheme,
    host,
    port,
    request: `${scheme}://${host}${shownPort}${path.startsWith("/") ? "" : "/"}${path}`,
  };
}

/**
 * Names, dotted IPv4 addresses, bracketed IPv6 ones; no spelling that resolvers read in more than one way.
 */
function checkHost(host) {
  const invalid = (why) => refused("POL-4", `the link's host ${why}`);
  if (host === "") throw invalid("is missing");
  if (host.startsWith("[")) {
    if (!isIpv6(host.slice(1, -1))) throw invalid("is no IPv6 address");
    return;
  }
  if (!/^[a-z0-9._-]+$/.test(host))
    throw invalid("has characters other than letters, digits, '-', '_' and '.'");
  const labels = (host.endsWith(".") ? host.slice(0, -1) : host).split(".");
  if (host.length > 253 || labels.some((label) => label === "" || label.length > 63))
    throw invalid("is no valid name");
  const last = labels.at(-1);
  if ((/^\d+$/.test(last) || last.startsWith("0x")) && !isIpv4(host))
    throw invalid("looks like an IPv4 address but is none");
}

function isIpv4(text) {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

function isIpv6(text) {
  return ipv6Words(text) !== null;
}

/** The eight 16-bit words of an IPv6 address, or null. */
function ipv6Words(text) {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const words = [];
  let gap = -1;
  for (const [index, half] of halves.entries()) {
    if (index === 1) gap = words.length;
    if (half === "") continue;
    const parts = half.split(":");
    for (const [at, part] of parts.entries()) {
      const isLast = index === halves.length - 1 && at === parts.length - 1;
      if (isLast && part.includes(".")) {
        if (!isIpv4(part)) return null;
        const [a, b, c, d] = part.split(".").map(Number);
        words.push((a << 8) | b, (c << 8) | d);
      } else if (/^[0-9a-f]{1,4}$/i.test(part)) words.push(parseInt(part, 16));
      else return null;
    }
  }
  if (halves.length === 1) return words.length === 8 && text !== "" ? words : null;
  if (words.length > 7) return null;
  words.splice(gap, 0, ...new Array(8 - words.length).fill(0));
  return words;
}

/**
 * Path and query with everything escaped that a request line cannot carry; escapes that are there stay
 * (POL-5).
 */
function encodePath(path) {
  let out = "";
  const bytes = new TextEncoder().encode(path);
  for (let at = 0; at < bytes.length; at++) {
    const character = String.fromCharCode(bytes[at]);
    const keep =
      character === "%"
        ? /^[0-9a-f]{2}$/i.test(String.fromCharCode(...bytes.subarray(at + 1, at + 3)))
        : /[!#-;=?-Z_a-z~]/.test(character);
    out += keep ? character : `%${bytes[at].toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}

/**
 * What a receiver may fetch: links to the origins that it named, whatever address they resolve to, and no
 * others.
 *
 * @example
 * new Policy(["http://localhost:8080"]).check("http://127.0.0.1:8080/file/a/b/c");
 */
export class Policy {
  #origins;

  /** Each origin is `scheme://host` or `scheme://host:port`. */
  constructor(origins = []) {
    this.#origins = new Set(
      [...origins].map((text) => {
        let link;
        try {
          link = parseLink(text);
        } catch (cause) {
          throw new NatsBridgeError("invalid_input", `not an origin: ${cause.message}`, { clause: "POL-2" });
        }
        if (!/^[^/?#]*:\/\/[^/?#]*\/?$/.test(text)) {
          throw new NatsBridgeError("invalid_input", "an origin has no path: http://localhost:8080", {
            clause: "POL-2",
          });
        }
        return originKey(link);
      }),
    );
  }

  /** The link as it is to be requested, or the error that says what would allow it. */
  check(url) {
    const link = parseLink(url);
    if (!this.#origins.has(originKey(link))) {
      const origin = `${link.scheme}://${link.host}:${link.port}`;
      throw refused("POL-2", `${origin} may not be fetched from; allowOrigins: ["${origin}"] would allow it`);
    }
    return link.request;
  }
}

/** `scheme://host:port` of a link. */
export function originOf(url) {
  const { scheme, host, port } = parseLink(url);
  return `${scheme}://${host}:${port}`;
}

/** POL-4: `localhost`, `127.0.0.1` and `[::1]` are one host. */
function originKey({ scheme, host, port }) {
  const one = host === "127.0.0.1" || host === "[::1]" ? "localhost" : host;
  return `${scheme}://${one}:${port}`;
}

function refused(clause, message) {
  return new NatsBridgeError("link_refused", message, { clause });
}
