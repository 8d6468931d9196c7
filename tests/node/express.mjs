import express from "express";

import answer from "./answer.cjs";

const app = express();
app.get(/.*/, answer);
app.listen(process.env.PORT, () => {});
