// A Redis client of one page: enough of its protocol (RESP2) to send commands and to read plain replies.
"use strict";

const net = require("node:net");

class Redis {
  #socket = null;
  #waiting = []; // replies come in the order of the commands
  #received = "";

  constructor(port = 6379, host = "127.0.0.1") {
    this.address = { port, host };
  }

  /** Send one command, such as ("INCR", "hits"); resolves with the reply, rejects if Redis says no or is away. */
  command(...words) {
    const line = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("");
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#connect().write(`*${words.length}\r\n${line}`);
    });
  }

  close() {
    this.#socket?.end();
  }

  #connect() {
    if (this.#socket) return this.#socket;
    this.#socket = net.connect(this.address).setNoDelay().setEncoding("utf8");
    this.#socket.on("data", (text) => this.#read(text));
    let cause = new Error("Redis closed the connection");
    this.#socket.on("error", (error) => (cause = error)); // "close" always follows
    this.#socket.on("close", () => this.#lost(cause));
    return this.#socket;
  }

  #lost(error) {
    this.#socket = null; // the next command connects again
    this.#received = "";
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #read(text) {
    this.#received += text;
    for (let end; (end = this.#received.indexOf("\r\n")) >= 0; ) {
      const reply = this.#received.slice(0, end);
      this.#received = this.#received.slice(end + 2);
      const { resolve, reject } = this.#waiting.shift();
      if (reply[0] === "-") reject(new Error(reply.slice(1)));
      else resolve(reply[0] === ":" ? Number(reply.slice(1)) : reply.slice(1));
    }
  }
}

module.exports = { Redis };
