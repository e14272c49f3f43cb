'use strict';
// Run by config::js with `-e`, the file as the last argument. The answer, one line of JSON
// ({value} or {error}), goes to descriptor 0, a socket: stdout belongs to the file.
const { writeSync } = require('fs');
const { pathToFileURL } = require('url');
const { spawnSync } = require('child_process');
const file = process.argv[process.argv.length - 1];

function answer(message) {
  const bytes = Buffer.from(JSON.stringify(message) + '\n');
  for (let sent = 0; sent < bytes.length; ) {
    try {
      sent += writeSync(0, bytes, sent);
    } catch (error) {
      // The file may have touched process.stdin, which makes the socket non-blocking.
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
    }
  }
  process.exit(0);
}

async function load() {
  if (file.endsWith('.mjs')) return import(pathToFileURL(file));
  try {
    return require(file);
  } catch (error) {
    const isModule = error && (error.code === 'ERR_REQUIRE_ESM' || error.code === 'ERR_REQUIRE_ASYNC_MODULE');
    if (isModule) return import(pathToFileURL(file));
    throw error;
  }
}

async function evaluate() {
  let exported = await load();
  const isModule = exported && (exported[Symbol.toStringTag] === 'Module' || exported.__esModule);
  if (isModule && 'default' in exported && !('apps' in exported)) exported = exported.default;
  if (typeof exported === 'function') exported = exported();
  exported = await exported;
  if (exported === undefined || exported === null) throw new Error('the file exports nothing');
  return exported;
}

// What JSON would lose silently: NaN and Infinity become null, patterns {}, big numbers throw.
function keep(key, value) {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (value instanceof RegExp) return value.source;
  return value;
}

// V8 heads a syntax error's stack with "file:line", the line and a caret; a throw has frames.
function position(stack) {
  const head = /^(?:file:\/\/)?(\/[^\n]*):(\d+)\n([^\n]*)\n( *)\^/.exec(stack);
  if (head) return { file: head[1], line: Number(head[2]), column: head[4].length + 1 };
  const frames = [...stack.matchAll(/^ +at (?:.*\()?(?:async )?(?:file:\/\/)?(\/[^()\n]*):(\d+):(\d+)\)?$/gm)]
    .map(([, path, line, column]) => ({ file: path, line: Number(line), column: Number(column) }));
  return frames.find((frame) => frame.file === file) || frames[0];
}

function describe(error) {
  if (!(error instanceof Error)) return { message: `it threw ${String(error)}` };
  let place = position(String(error.stack || ''));
  if (!place && error.name === 'SyntaxError') {
    // An ES module's syntax error tells no place until node prints it.
    const check = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8' });
    place = position(String(check.stderr || ''));
  }
  const message = String(error.message).split('\n')[0];
  return { message: error.name === 'Error' ? message : `${error.name}: ${message}`, ...place };
}

const fail = (error) => answer({ error: describe(error) });
process.on('uncaughtException', fail);
evaluate().then((value) => answer({ value: JSON.parse(JSON.stringify(value, keep)) })).catch(fail);
