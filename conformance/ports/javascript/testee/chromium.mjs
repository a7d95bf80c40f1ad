// A headless Chromium with a page that holds a bundle of this port; for the testee and for the tests.

import { build } from "esbuild";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Plik sends no CORS headers. A real page shares its origin with the file server, or a proxy adds them.
  "--disable-web-security",
];

/** Where Chromium is, or null. CHROMIUM names another one. */
export function chromiumPath() {
  const places = process.env.CHROMIUM
    ? [process.env.CHROMIUM]
    : ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
  return places.find((place) => existsSync(place)) ?? null;
}

/** One ES module for browsers of an entry point in this folder. */
export async function bundle(entry) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(entry, import.meta.url))],
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    target: "es2022",
    logLevel: "error",
  });
  return outputFiles[0].text;
}

/**
 * Opens a page with the bundle of `entry`; `close` ends everything. `upgrade(request, socket)` takes its
 * websockets.
 */
export async function openPage(entry, upgrade = (_, socket) => socket.destroy()) {
  const executablePath = chromiumPath();
  if (executablePath === null)
    throw new Error("no Chromium: install it (apt-get install chromium), or set CHROMIUM");
  const script = await bundle(entry);
  // From this machine's loopback, which is a secure context as https is.
  const server = createServer((request, reply) => {
    const isScript = request.url === "/page.js";
    reply.setHeader("content-type", isScript ? "text/javascript" : "text/html; charset=utf-8");
    reply.end(
      isScript
        ? script
        : '<!doctype html><title>natsbridge</title><script type="module" src="/page.js"></script>',
    );
  });
  server.on("upgrade", upgrade);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const browser = await chromium.launch({ executablePath, headless: true, args: FLAGS });
  const close = async () => {
    await browser.close();
    server.closeAllConnections();
    server.close();
  };
  try {
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.error(error));
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    return { page, browser, close };
  } catch (error) {
    await close();
    throw error;
  }
}
