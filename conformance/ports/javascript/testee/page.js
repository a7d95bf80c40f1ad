// The testee inside a page; testee_browser.mjs hands it the lines.

import { SUPPORTS, run } from "./operations.js";

globalThis.testee = {
  supports: SUPPORTS,
  agent: navigator.userAgent,
  async run(line) {
    const request = JSON.parse(line);
    return JSON.stringify({ seq: request.seq, ...(await run(request, () => globalThis.testeeReady(request.seq))) });
  },
};
