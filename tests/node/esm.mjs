import { createServer } from "node:http";

import answer from "./answer.cjs";

const port = await Promise.resolve(process.env.PORT);
createServer(answer).listen({ port, host: "0.0.0.0" });
