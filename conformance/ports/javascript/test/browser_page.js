// The port as a page's global, for browser.test.js.

import * as natsbridge from "../src/index.js";

globalThis.natsbridge = natsbridge;
