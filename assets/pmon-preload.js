'use strict';
// pmon's preload for Node 16 and later, loaded with --require: reports metrics once a second and helps a reload to
// lose no request on kept-alive connections. Only in the process that pmon started: its children inherit execArgv,
// but not the variable. It never listens to 'message', which would keep the process alive and swallow early messages.
const active = process.env.PMON_PRELOAD === '1';
delete process.env.PMON_PRELOAD;
if (active && process.connected && typeof process.send === 'function') {
  const { performance, monitorEventLoopDelay } = require('perf_hooks');
  const channels = require('diagnostics_channel');
  const send = process.send.bind(process);
  let busy = false;
  const say = (message) => {
    if (busy || !process.connected) return; // a daemon that does not read must not fill our memory
    busy = true;
    try { send(Object.assign({ cmd: 'NODE_PMON' }, message), () => { busy = false; }); } catch (_) { busy = false; }
  };
  const guarded = (f) => (...all) => { try { f(...all); } catch (_) { /* never the app's trouble */ } };

  // Response times in microseconds: 32 powers of two in 8 steps each (12 % wide).
  const started = Symbol('pmon.started');
  const buckets = new Uint32Array(256);
  let count = 0, sum = 0, draining = false;
  const bucket = (us) => {
    const power = us < 8 ? 0 : 31 - Math.clz32(us) - 2;
    return Math.min(255, power === 0 ? us : power * 8 + (us >>> (power - 1)) - 8);
  };
  const value = (index) => (index < 8 ? index : (8 + (index & 7)) * 2 ** ((index >> 3) - 1)) / 1000;
  const quantile = (q) => {
    let rest = Math.ceil(count * q);
    for (let i = 0; i < 256; i++) if ((rest -= buckets[i]) <= 0) return count ? value(i) : 0;
    return 0;
  };
  const requests = channels.channel('http.server.request.start');
  const responses = channels.channel('http.server.response.finish');
  requests.subscribe(guarded((event) => {
    event.response[started] = performance.now();
    if (draining) event.response.shouldKeepAlive = false;
  }));
  responses.subscribe(guarded((event) => {
    const ms = performance.now() - event.response[started];
    if (!(ms >= 0)) return;
    count++; sum += ms; buckets[bucket(Math.min(0x7fffffff, Math.floor(ms * 1000)))]++;
  }));

  const loop = monitorEventLoopDelay({ resolution: 10 });
  loop.enable();
  let utilization = performance.eventLoopUtilization(), since = performance.now();
  const delay = (p) => Math.max(0, loop.percentile(p) / 1e6 - 10);
  const report = guarded(() => {
    const now = performance.now(), next = performance.eventLoopUtilization(), memory = process.memoryUsage();
    const handles = process.getActiveResourcesInfo ? process.getActiveResourcesInfo() : process._getActiveHandles();
    say({
      act: 'metrics',
      loop: { p50: delay(50), p95: delay(95), p99: delay(99),
        elu: performance.eventLoopUtilization(next, utilization).utilization },
      heap: { used: memory.heapUsed, total: memory.heapTotal }, rss: memory.rss, handles: handles.length,
      http: { rps: count * 1000 / (now - since), mean: count ? sum / count : 0,
        p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99) },
    });
    utilization = next; since = now; count = 0; sum = 0; buckets.fill(0); loop.reset();
  });
  setInterval(report, 1000).unref();
  say({ act: 'hello', version: process.versions.node });

  // Nobody but us closes the servers of a process that is no cluster worker. The end of the channel says that the last
  // connection has ended.
  const leave = () => {
    const { Server } = require('net');
    const servers = process._getActiveHandles().filter((handle) => handle instanceof Server && handle.listening);
    let open = servers.length;
    const closed = () => { if (--open <= 0 && process.connected) process.disconnect(); };
    if (open === 0) closed();
    for (const server of servers) server.close(closed);
  };
  // A port that somebody else has, where the daemon is not asked for it: who that is goes with the reason of the end.
  process.on('uncaughtExceptionMonitor', guarded((error) => {
    if (!error || (error.syscall !== 'listen' && error.syscall !== 'bind') || !process.connected) return;
    const { address, port, errno, syscall } = error;
    if (syscall === 'bind' && require('cluster').isWorker) return; // the daemon's own answer
    send({ cmd: 'NODE_PMON', act: 'listen failed', address, errno: Math.abs(errno),
      port: typeof port === 'number' ? port : -1, udp: syscall === 'bind' && typeof port === 'number' });
  }));

  // A worker that leaves the cluster closes its servers before it says so. Told now, the daemon keeps their ports for
  // the next one.
  const { worker } = require('cluster');
  let disconnects = false;
  if (worker) {
    const leave = worker.disconnect;
    worker.disconnect = function () {
      disconnects = true;
      if (process.connected) guarded(send)({ cmd: 'NODE_PMON', act: 'leaving' });
      return leave.apply(this, arguments);
    };
  }

  // Copies of the listening sockets on which the daemon accepts, by key. Nothing is done with them: they are there for the
  // next daemon, should all others that have them die. They keep no process alive and are not among its active handles.
  const held = new Map();
  process.on('internalMessage', guarded((message, handle) => {
    if (!message || message.cmd !== 'NODE_PMON' || (message.act !== 'hold' && message.act !== 'release')) return;
    const old = held.get(message.key);
    held.delete(message.key);
    if (old) old.close();
    if (message.act === 'hold' && handle) {
      handle.unref();
      held.set(message.key, handle);
    }
  }));

  // Soft drain: each response now closes its connection, and server.close() leaves idle connections alone for `ms`,
  // since a request may just be arriving on one of them (Node 19 and later would reset it).
  const drain = (ms) => {
    draining = true;
    for (const name of ['http', 'https']) {
      let prototype;
      try { prototype = require(name).Server.prototype; } catch (_) { continue; } // a Node without TLS
      const original = prototype.closeIdleConnections;
      if (typeof original !== 'function') continue;
      const servers = new Set();
      prototype.closeIdleConnections = function () { servers.add(this); };
      setTimeout(() => {
        prototype.closeIdleConnections = original;
        for (const server of servers) original.call(server);
      }, ms).unref();
    }
    if (!worker) leave();
  };
  // A daemon that follows one that died cannot know what that one has sent; the cluster's `disconnect` must not come twice.
  process.on('internalMessage', guarded((message) => {
    if (!message) return;
    if (message.cmd === 'NODE_CLUSTER' && message.act === 'disconnect') disconnects = true;
    if (message.cmd !== 'NODE_PMON' || message.act !== 'drain') return;
    if (!draining) drain(message.ms);
    if (message.again && worker && !disconnects) {
      process.emit('internalMessage', { cmd: 'NODE_CLUSTER', act: 'disconnect' });
    }
  }));
}
