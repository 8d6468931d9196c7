// The smallest thing worth keeping up: pysup start examples/hello/app.js --port 8000
"use strict";

require("node:http")
  .createServer((request, response) => response.end(`Hello from pid ${process.pid}\n`))
  .listen(process.env.PORT ?? 8000);
