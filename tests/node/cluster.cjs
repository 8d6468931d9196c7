// Two workers of node:cluster; the primary answers to nobody, and has no part in it but the listening.
"use strict";

const cluster = require("node:cluster");

if (cluster.isPrimary) {
  cluster.fork();
  cluster.fork();
} else {
  require("./http.cjs");
}
