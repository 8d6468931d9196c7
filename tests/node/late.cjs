// PM2's wait_ready: listens at once, and is ready when the file GO is there.
"use strict";

const { existsSync } = require("node:fs");

require("./http.cjs");
const waiting = setInterval(() => {
  if (!existsSync(process.env.GO)) return;
  clearInterval(waiting);
  if (process.send) process.send("ready");
}, 10);
