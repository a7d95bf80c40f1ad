// The testee inside a page; testee_browser.mjs hands it the lines over a websocket.

import { SUPPORTS, run } from "./operations.js";

const socket = new WebSocket(`ws://${location.host}/`);
const say = (answer) => socket.send(JSON.stringify(answer));

socket.onopen = () => say({ supports: SUPPORTS });
socket.onmessage = async ({ data }) => {
  const request = JSON.parse(data);
  const { seq } = request;
  say({ seq, ...(await run(request, () => say({ seq, ready: true }))) });
};
