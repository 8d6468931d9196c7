"use strict";

require("node:http").createServer(require("./answer.cjs")).listen(process.env.PORT);
