"use strict";

const { readFileSync } = require("node:fs");
const { KEY, CERT, PORT } = process.env;

require("node:https")
  .createServer({ key: readFileSync(KEY), cert: readFileSync(CERT) }, require("./answer.cjs"))
  .listen(PORT, "localhost");
