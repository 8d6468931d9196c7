// Both of HTTP/2's faces: with STREAM it answers streams, else requests.
"use strict";

const answer = require("./answer.cjs");
const server = require("node:http2").createServer();

if (process.env.STREAM) {
  server.on("stream", (stream, headers) => answer({ url: headers[":path"] }, stream));
} else {
  server.on("request", answer);
}
server.listen(process.env.PORT);
