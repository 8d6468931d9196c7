// The demo: a web server that counts all its hits in Redis. Start it once per core and the count is shared:
//   pysup start examples/counter/app.js --per-core --reserve 1 --name counter --port 9001 --requires redis-server.service
"use strict";

const http = require("node:http");
const { Redis } = require("./redis.js");

const instance = process.env.NODE_APP_INSTANCE ?? "0";
const port = Number(process.env.PORT ?? 9001);
const redis = new Redis(Number(process.env.REDIS_PORT ?? 6379));

const server = http.createServer(async (request, response) => {
  try {
    const hits = await redis.command("INCR", "pysup:counter");
    console.log(`${request.method} ${request.url} hit ${hits}`);
    response.end(`instance ${instance} on port ${port}, pid ${process.pid}: hit number ${hits}\n`);
  } catch (error) {
    console.error(`${request.method} ${request.url} failed: ${error.message}`);
    response.writeHead(503).end(`instance ${instance}: ${error.message}\n`);
  }
});

server.listen(port, () => console.log(`instance ${instance} listens on port ${port}`));

process.on("SIGTERM", () => {
  console.log(`instance ${instance} finishes what it has begun`);
  server.close(() => redis.close()); // nothing is left to do then, so node ends
});
