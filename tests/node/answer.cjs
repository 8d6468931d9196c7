// Answers its pid, after as many milliseconds as the path says.
"use strict";

module.exports = (request, response) =>
  setTimeout(() => response.end(`${process.pid}\n`), Number(request.url.slice(1)) || 0);
