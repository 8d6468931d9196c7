// Tells what a configuration file in JavaScript exports, as JSON: node evaluate.cjs DESCRIPTOR FILE
// What JSON has no form for becomes {"$pysup": KIND, …}: the reader names it instead of losing it.
"use strict";

const { writeSync } = require("fs");
const { pathToFileURL } = require("url");

const [result, file] = process.argv.slice(2);
process.argv.splice(1); // the file sees a command line without our words

function tell(what) {
  const text = Buffer.from(JSON.stringify(what));
  for (let at = 0; at < text.length; ) at += writeSync(Number(result), text, at);
}

// As JSON.stringify's replacer; `this` holds the value before its toJSON() was called.
function plain(key, value) {
  const own = this[key];
  if (typeof own === "function") return { $pysup: "function" };
  if (typeof own === "symbol") return { $pysup: "symbol" };
  if (typeof own === "bigint") return String(own);
  if (typeof own === "number" && !Number.isFinite(own)) return { $pysup: "number", text: String(own) };
  if (own instanceof RegExp || Object.prototype.toString.call(own) === "[object RegExp]")
    return { $pysup: "regexp", text: own.source };
  if (own instanceof Promise) return { $pysup: "promise" };
  if (own instanceof Map || own instanceof Set) return { $pysup: own.constructor.name };
  return value;
}

function kindOf(value) {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "object" && typeof value.then === "function") return "promise";
  if (Array.isArray(value)) return "array";
  return typeof value;
}

// An ES module's own exports, or its default.
function exported(module) {
  const { default: own, __esModule, "module.exports": same, ...named } = module;
  return Object.keys(named).length ? { ...own, ...named } : own;
}

// The value stands in an array, so that nobody waits for a promise.
async function load() {
  if (!file.endsWith(".mjs")) {
    try {
      const found = require(file);
      return [found && found[Symbol.toStringTag] === "Module" ? exported(found) : unwrapped(found)];
    } catch (error) {
      if (!isModuleSyntax(error)) throw error;
    }
  }
  return [exported(await import(pathToFileURL(file)))];
}

// What a compiler from ES modules or TypeScript left.
const unwrapped = (found) => (found && found.__esModule && found.default ? found.default : found);

const isModuleSyntax = (error) =>
  error && (error.code === "ERR_REQUIRE_ESM" || error.code === "ERR_REQUIRE_ASYNC_MODULE" ||
    (error instanceof SyntaxError && /\b(import|export|await)\b/.test(error.message)));

function fail(error) {
  const text = error instanceof Error ? `${error.name}: ${error.message.split("\n", 1)[0]}` : `it threw ${String(error)}`;
  const stack = String((error && error.stack) || "");
  const line = new RegExp(`${file.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}:(\\d+)`).exec(stack);
  tell({ error: text, line: line ? Number(line[1]) : null });
  process.exit(1);
}

process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);

load().then(([value]) => {
  const found = kindOf(value);
  let json;
  try {
    json = found === "object" || found === "array" ? JSON.parse(JSON.stringify(value, plain)) : null;
  } catch (error) {
    return fail(error); // circular
  }
  tell({ kind: found, value: json });
  process.exit(0); // timers and sockets that the file has opened would go on
}, fail);
