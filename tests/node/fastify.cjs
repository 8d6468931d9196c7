"use strict";

const fastify = require("fastify")();
const { setTimeout } = require("node:timers/promises");

fastify.get("/:delay", async ({ params }) => {
  if (params.delay) await setTimeout(Number(params.delay));
  return `${process.pid}\n`;
});
fastify.get("/", async () => `${process.pid}\n`);
fastify.listen({ port: Number(process.env.PORT) }); // on localhost: by its own doing, on both families
