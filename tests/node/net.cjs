// Sends back what it is sent, until the client ends.
"use strict";

require("node:net")
  .createServer((socket) => socket.pipe(socket))
  .listen({ port: process.env.PORT, host: "127.0.0.1" });
