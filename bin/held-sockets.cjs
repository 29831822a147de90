'use strict';
/**
 * For Node apps that were written without held sockets (UPDATE_LISTEN_NODE=on): loaded before the
 * app by `--require`, it makes `listen(port)` take the held listener of that port, and drains at
 * TERM where the app itself does nothing about it. For whatever Node the app brings (18 and later),
 * so it is no TypeScript. The protocol: sd_listen_fds(3).
 */
const cluster = require('node:cluster');
const http = require('node:http');
const net = require('node:net');
const { setTimeout: sleep } = require('node:timers/promises');
const { isMainThread } = require('node:worker_threads');

const FIRST_FD = 3;
/** An app's own listen() sets the queue's length anew, and Node's is 511 unless one is named. */
const BACKLOG = 4096;
/** So long kept connections are answered with "close": a request may be on its way in them. */
const FAREWELL_MS = 200;
const LOOK_MS = 20;

const { LISTEN_PID, LISTEN_FDS, SELF_UPDATE_LISTEN_PORTS = '' } = process.env;
// A child of the app's has this environment too, and other descriptors. But a worker of a cluster
// listens by its primary, which takes the listener for it; so it only has to drain.
const isApp = Number(LISTEN_PID) === process.pid;
const isWorker = cluster.isWorker && Number(LISTEN_PID) === process.ppid;
const ports = SELF_UPDATE_LISTEN_PORTS.split(':').slice(0, Number(LISTEN_FDS) || 0);
/** Those that listen at a held socket. */
const servers = new Set();
let requests = 0;
let isDraining = false;

if (ports.length > 0 && (isApp || isWorker)) {
  borrow();
  // Signals reach the main thread alone.
  if (isMainThread) drainAtTerm();
}

/** What a call of listen() asks for: listen(8080), listen('8080', host), listen({ port }). */
function asked([first]) {
  if (typeof first === 'number' || (typeof first === 'string' && /^\d+$/.test(first)))
    return { port: Number(first) };
  if (typeof first !== 'object' || first === null) return {};
  return first.fd == null && first.path == null && first.port != null ? first : {};
}

/**
 * Each listener is given once: closed, its number may be somebody else's. What comes after that, or
 * asks for another port, is as the app wrote it.
 */
function borrow() {
  const { listen } = net.Server.prototype;
  net.Server.prototype.listen = function (...args) {
    const { port, backlog, signal } = asked(args);
    const index = port === undefined ? -1 : ports.indexOf(String(Number(port)));
    if (index === -1) return listen.apply(this, args);
    servers.add(this);
    if (isHttp(this)) countRequests(this);
    if (!isApp) return listen.apply(this, args);
    ports[index] = null;
    const callback = args.at(-1);
    // Beside `fd` Node reads the backlog from here alone.
    const longest = Math.max(backlog || 0, BACKLOG);
    const rest = typeof callback === 'function' ? [callback] : [];
    return listen.apply(this, [{ fd: FIRST_FD + index, signal }, longest, ...rest]);
  };
}

/** Not of version 2, whose connections say themselves that they end. */
function isHttp(server) {
  return 'closeIdleConnections' in server;
}

function countRequests(server) {
  const { emit } = server;
  server.emit = function (event, request, response, ...rest) {
    if (/^(?:request|checkContinue|checkExpectation)$/.test(event) && response) {
      requests += 1;
      response.once('close', () => {
        requests -= 1;
      });
    }
    return emit.call(this, event, request, response, ...rest);
  };
}

function drainAtTerm() {
  const { writeHead } = http.ServerResponse.prototype;
  http.ServerResponse.prototype.writeHead = function (...args) {
    if (isDraining) this.shouldKeepAlive = false;
    return writeHead.apply(this, args);
  };
  const onTerm = () => {
    // The app's own handler knows better.
    if (process.listenerCount('SIGTERM') > 1 || isDraining) return;
    isDraining = true;
    void drained().then(() => {
      process.removeListener('SIGTERM', onTerm);
      process.kill(process.pid, 'SIGTERM');
    });
  };
  process.on('SIGTERM', onTerm);
}

/** How long it may take is the supervisor's to say. */
async function drained() {
  const workers = isApp ? Object.values(cluster.workers ?? {}) : [];
  const ends = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
  for (const worker of workers) worker.process.kill('SIGTERM');
  for (const server of servers) {
    // Our copy of the listener first: what comes from now on waits for the next version. Not http's
    // own close, which cuts idle connections at once.
    if (isHttp(server)) net.Server.prototype.close.call(server);
    else if (server.listening) ends.push(new Promise((resolve) => server.close(resolve)));
  }
  if (servers.size > 0) await sleep(FAREWELL_MS);
  await Promise.all(ends);
  while (requests > 0) await sleep(LOOK_MS);
}
