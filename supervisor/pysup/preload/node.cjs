// Gives an unmodified Node program the listening sockets that systemd holds for it: node --require=THIS app.js
//
// - server.listen(PORT or PATH) gets the inherited descriptor, where the address is one that PYSUP_LISTEN names;
// - READY=1 when the first of them listens, or when the program calls process.send("ready"); PYSUP_READY=send: only then;
// - WATCHDOG=1 from the event loop, where systemd waits for it;
// - SIGTERM and SIGINT let the requests in flight finish, where the program has no handler of its own.
//
// It works in the process that LISTEN_PID names; children, cluster workers and worker threads are left alone.
// Nothing is wrapped on the way of a request before the drain begins. docs/sockets.md says all this at more length.
"use strict";

const { fstatSync } = require("fs");
const net = require("net");
const { resolve } = require("path");
const { isMainThread } = require("worker_threads");

const FIRST_DESCRIPTOR = 3; // SD_LISTEN_FDS_START, sd_listen_fds(3)
const ANY_BACKLOG = 0x7fffffff; // the kernel makes it net.core.somaxconn, as systemd's own default does
const IDLE_MILLISECONDS = 500; // how long the drain lets a silent connection ask once more before it closes it
const FRESH_MILLISECONDS = 2000; // and one that has never asked: a request that was lost on its way comes again after 1 s
const LAST_STREAM = 2 ** 31 - 1; // in a GOAWAY: no more, please, but what is on its way is answered; RFC 9113, 6.8
const SIGNALS = ["SIGTERM", "SIGINT"];
const PROBE = "pysup-probe"; // the socket, among the inherited ones, on which this instance alone is asked how it is

const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES, PYSUP_LISTEN, NOTIFY_SOCKET } = process.env;
const { PYSUP_READY, PYSUP_BACKLOG, PYSUP_DRAIN, PYSUP_PROBE, WATCHDOG_USEC, WATCHDOG_PID } = process.env;
const listenAsUsual = net.Server.prototype.listen;
const closeAsUsual = net.Server.prototype.close;

function begin() {
  const sockets = LISTEN_PID === undefined ? [] : given();
  delete process.env.PYSUP_PROBE;
  delete process.env.PYSUP_LISTEN; // LISTEN_* stay: LISTEN_PID says whose they are, and some programs read them
  const tellReady = NOTIFY_SOCKET ? once(notifyReady) : () => {};
  if (NOTIFY_SOCKET && !process.send) offerSend(tellReady);
  const isByListening = PYSUP_READY === undefined || PYSUP_READY === "listening";
  if (sockets.length) takeOver(sockets, isByListening ? tellReady : () => {});
  const isWatched = WATCHDOG_PID === undefined || WATCHDOG_PID === String(process.pid);
  if (NOTIFY_SOCKET && WATCHDOG_USEC && isWatched) tellAlive(Number(WATCHDOG_USEC) / 1000);
}

// ---- which sockets there are

// NAME=ADDRESS words beside the names of the descriptors; the second socket of a name is the name's second descriptor.
function given() {
  const names = (LISTEN_FDNAMES || "").split(":").slice(0, Number(LISTEN_FDS) || 0);
  const backlogs = new Map(pairs(PYSUP_BACKLOG)); // NAME=NUMBER
  const sockets = [];
  for (const [name, address] of pairs(PYSUP_LISTEN)) {
    const index = names.indexOf(name);
    if (index < 0) continue;
    names[index] = undefined;
    const socket = { fd: FIRST_DESCRIPTOR + index, handle: null, isTaken: false, backlog: Number(backlogs.get(name)) };
    if (name === PYSUP_PROBE && names.includes(PROBE)) socket.probe = FIRST_DESCRIPTOR + names.indexOf(PROBE);
    if (isSocket(socket.fd)) sockets.push(Object.assign(socket, parse(address)));
  }
  return sockets;
}

const pairs = (text) => (text || "").split(" ").filter(Boolean).map((word) => /^([^=]*)=?(.*)$/.exec(word).slice(1));

function parse(address) {
  if (address.startsWith("/")) return { path: address };
  const colon = address.lastIndexOf(":");
  return { port: Number(address.slice(colon + 1)), host: address.slice(0, Math.max(colon, 0)).replace(/[[\]]/g, "") };
}

function isSocket(fd) {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false;
  }
}

// ---- listen()

function takeOver(sockets, tellReady) {
  const catchSignalsOnce = once(catchSignals);
  net.Server.prototype.listen = function listen(...args) {
    const wanted = understand(args);
    const fitting = this._handle ? [] : sockets.filter((socket) => fits(socket, wanted));
    if (!fitting.length) return listenAsUsual.apply(this, args);
    if (typeof args[args.length - 1] === "function") this.once("listening", args[args.length - 1]);
    const free = fitting.filter((socket) => !socket.isTaken);
    const socket = free.find(({ host }) => host === wanted.host) || free[0];
    if (!socket) process.nextTick(() => this.emit("error", addressInUse(wanted)));
    else if (adopt(this, socket, wanted)) {
      this.once("listening", tellReady);
      catchSignalsOnce();
    }
    return this;
  };
}

// The argument shapes of server.listen(); what is neither a port nor a path nor a descriptor fits no socket.
function understand(args) {
  const [first, second, third] = args;
  const backlog = [second, third].map(Number).find((value) => value > 0);
  if (first !== null && typeof first === "object") {
    if (first._handle || first.handle) return {};
    const { port, host, path, fd, signal } = first;
    return { port, host, path, fd, signal, backlog: first.backlog || backlog };
  }
  if (typeof first === "string" && !(Number(first) >= 0)) return { path: first, backlog };
  return { port: first, host: typeof second === "string" ? second : undefined, backlog };
}

function fits(socket, { port, path, fd }) {
  if (typeof fd === "number") return fd === socket.fd;
  if (typeof port === "number" || typeof port === "string") return port !== "" && Number(port) === socket.port;
  return typeof path === "string" && !path.startsWith("\0") && resolve(path) === socket.path;
}

function addressInUse({ port, host, path, fd }) {
  const where = path || (fd === undefined ? `${host || "::"}:${port}` : `fd ${fd}`);
  const errno = -require("os").constants.errno.EADDRINUSE;
  const error = new Error(`listen EADDRINUSE: address already in use ${where}`);
  const address = path || host || "::";
  Object.assign(error, { code: "EADDRINUSE", errno, syscall: "listen", address });
  return path ? error : Object.assign(error, { port: Number(port) });
}

function adopt(server, socket, { backlog, signal }) {
  socket.handle = socket.handle || open(socket, server);
  if (!socket.handle) return false;
  socket.isTaken = true;
  socket.handle.ref();
  server._handle = socket.handle;
  if (socket.path) server._pipeName = socket.path; // what address() answers
  // What listen() does once there is a handle: it emits 'listening', or takes the handle back and emits 'error'.
  server._listen2(null, -1, -1, socket.backlog || backlog || ANY_BACKLOG);
  if (!server._handle) return false;
  if (!socket.path && !socket.handle.bind6) standIn(socket);
  if (signal) closeOnAbort(server, signal);
  if (isSocket(socket.probe)) answerProbes(socket);
  remember(server);
  return true;
}

function closeOnAbort(server, signal) {
  if (signal.aborted) process.nextTick(() => server.close());
  else signal.addEventListener("abort", () => server.close(), { once: true });
}

// One handle for as long as the process lives: a descriptor that Node has closed could never be had again.
function open(socket, server) {
  const handle = handleOf(socket.fd, socket.backlog, (error) => server.emit("error", error));
  if (!handle) return null;
  pause(handle);
  handle.close = () => {
    pause(handle);
    socket.isTaken = false;
  };
  return handle;
}

function handleOf(fd, backlog, onError) {
  const carrier = new net.Server().on("error", onError);
  listenAsUsual.call(carrier, { fd, backlog: backlog || ANY_BACKLOG });
  const handle = carrier._handle;
  carrier._handle = null;
  return handle;
}

// What comes on this instance's own socket is given to whoever takes what comes on the shared one, as if it came there.
function answerProbes(socket) {
  const handle = handleOf(socket.probe, 0, (error) => process.emitWarning(`${PROBE}: ${error.message}`));
  socket.probe = undefined; // once
  if (!handle) return;
  handle.onconnection = (status, client) => {
    if (status || !socket.isTaken) return client && client.close();
    client.getpeername = client.getsockname = localhost; // programs look at remoteAddress, which a unix socket has not
    return socket.handle.onconnection(status, client);
  };
  handle.unref();
}

// A port's socket that is no TCP socket is a stand-in, where a new version is tried apart from all clients.
function standIn({ handle, host, port }) {
  const { onconnection } = handle;
  handle.getsockname = (out) => Object.assign(out, { address: host || "::", port, family: net.isIPv4(host) ? "IPv4" : "IPv6" }) && 0;
  handle.onconnection = (status, client) => {
    if (client) client.getpeername = client.getsockname = localhost;
    return onconnection.call(handle, status, client);
  };
}

function localhost(out) {
  Object.assign(out, { address: "127.0.0.1", port: 0, family: "IPv4" });
  return 0;
}

// Stop accepting without closing. libuv has no call for it, but reading and accepting poll with the same watcher.
function pause(handle) {
  handle.readStart();
  handle.readStop();
}

// ---- ready

function notifyReady() {
  const { spawn } = require("child_process"); // Node has no unix datagram sockets
  const env = { NOTIFY_SOCKET, PATH: `${process.env.PATH || ""}:/usr/bin:/bin` };
  const warn = (why) => process.emitWarning(`systemd-notify: ${why}: systemd does not know that this process is ready`);
  const child = spawn("systemd-notify", ["--ready"], { env, stdio: "ignore" });
  child.on("error", (error) => warn(error.message));
  child.on("exit", (code) => code && warn(`exit code ${code}`));
  child.unref();
}

// Running systemd-notify anew each time would stop the loop for as long as a fork takes, 80 ms with a heap of 1.5 GB.
function tellAlive(milliseconds) {
  const { spawn } = require("child_process");
  const env = { NOTIFY_SOCKET, PATH: `${process.env.PATH || ""}:/usr/bin:/bin` };
  const script = "while read -r _; do systemd-notify WATCHDOG=1; done"; // ends with this process
  const helper = spawn("/bin/sh", ["-c", script], { env, stdio: ["pipe", "ignore", "inherit"] });
  for (const one of [helper, helper.stdin]) one.on("error", () => {}).unref();
  const tell = () => helper.stdin.write("\n");
  tell();
  setInterval(tell, milliseconds / 3).unref();
}

// PM2's way to say ready: if (process.send) process.send("ready"). Other messages have nobody to go to.
function offerSend(tellReady) {
  process.send = function send(message, ...rest) {
    if (message === "ready") tellReady();
    const callback = rest.find((value) => typeof value === "function");
    if (callback) process.nextTick(callback, null);
    return true;
  };
}

// ---- drain

// What Node cannot tell when the drain begins; neither event comes more than once a connection.
const encrypted = new Set();
const sessions = new Set();

function remember(server) {
  if (server.listeners("secureConnection").includes(rememberEncrypted)) return;
  server.on("secureConnection", rememberEncrypted); // TLS
  server.on("session", rememberSession); // HTTP/2
}

function rememberEncrypted(socket) {
  encrypted.add(socket);
  socket.once("close", () => encrypted.delete(socket));
}

function rememberSession(session) {
  sessions.add(session);
  session.once("close", () => sessions.delete(session));
}

function catchSignals() {
  if (Object.keys(require("cluster").workers || {}).length) return; // its primary knows best
  for (const signal of SIGNALS) process.prependListener(signal, drainUnlessHandled);
}

// It stands before the program's own listeners, so that those of once() still count.
function drainUnlessHandled(signal) {
  if (process.listenerCount(signal) - 1 > onlyCleaningUp()) return;
  drain();
}

// The package signal-exit listens to signals to clean up, not to handle them; process.exit() has it clean up too.
function onlyCleaningUp() {
  const emitters = [process.__signal_exit_emitter__, globalThis[Symbol.for("signal-exit emitter")]];
  return emitters.reduce((sum, emitter) => sum + ((emitter && emitter.count) || 0), 0);
}

const drain = once(() => {
  const servers = process._getActiveHandles().filter((handle) => handle instanceof net.Server);
  let open = servers.length;
  const onClosed = () => --open || process.exit(0);
  if (!open) process.exit(0);
  for (const server of servers) {
    if (server.listenerCount("request")) server.prependListener("request", answerLast);
    closeAsUsual.call(server, onClosed); // not http's own, which destroys at once what is idle between two requests
  }
  for (const { _httpMessage } of connections()) if (_httpMessage) answerLast(null, _httpMessage);
  for (const session of sessions) if (!session.destroyed) session.goaway(0, LAST_STREAM);
  endIdleAgainAndAgain();
  if (Number(PYSUP_DRAIN) > 0) setTimeout(() => process.exit(0), Number(PYSUP_DRAIN) * 1000);
});

// Connection: close, unless the head is written: then the next answer says it.
function answerLast(_request, response) {
  response.shouldKeepAlive = false;
}

// A client may be about to send on a connection that looks idle: only one that was silent for a while is ended.
function endIdleAgainAndAgain() {
  const began = performance.now();
  let before = traffic();
  const endIdle = () => {
    const mayBeFresh = performance.now() - began < FRESH_MILLISECONDS;
    for (const socket of connections()) {
      const isIdle = socket.parser && !socket._httpMessage; // HTTP/1, between two requests, not upgraded
      const isFresh = mayBeFresh && !socket.bytesRead;
      if (isIdle && !isFresh && before.get(socket) === moved(socket)) socket.destroySoon();
    }
    for (const session of sessions) session.close();
    before = traffic();
  };
  setInterval(() => setImmediate(endIdle), IDLE_MILLISECONDS); // immediates come after what has arrived was read
}

const traffic = () => new Map(connections().map((socket) => [socket, moved(socket)]));
const moved = (socket) => socket.bytesRead + socket.bytesWritten;

// Those that servers have accepted, as their HTTP parsers know them.
function connections() {
  const plain = process._getActiveHandles().filter((handle) => handle instanceof net.Socket && handle.server);
  return [...plain, ...encrypted];
}

function once(call) {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    call();
  };
}

if (isMainThread && (LISTEN_PID === undefined || LISTEN_PID === String(process.pid))) begin();
