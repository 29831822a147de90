'use strict';
/**
 * For Node apps that were written without held sockets (UPDATE_LISTEN_NODE=on): loaded before the
 * app by `--require`, it makes `listen(port)` take the held listener of that port, and drains at
 * TERM where the app itself does nothing about it. For whatever Node the app brings (18 and later),
 * so it is no TypeScript. The protocol: sd_listen_fds(3).
 */
const cluster = require('node:cluster');
const { randomUUID } = require('node:crypto');
const { EventEmitter } = require('node:events');
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
/** `spare`: undefined while the descriptor itself was not taken, null where there is none. */
const places = ports.map(() => ({ isLent: false, spare: undefined }));
/** Not to be collected. */
const kept = [];
let isEnding = false;
let post = null;
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
 * A closed server's descriptor is gone, but a probe of the port, or the last worker of a cluster,
 * is followed by the next one. So a duplicate is made of each listener that is taken: it only waits.
 * What asks for a port whose server listens already is as the app wrote it, and fails.
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
    const place = places[index];
    if (place.isLent) return listen.apply(this, args);
    place.isLent = true;
    const callback = args.at(-1);
    // Beside `fd` Node reads the backlog from here alone.
    const longest = Math.max(backlog || 0, BACKLOG);
    const rest = typeof callback === 'function' ? [callback] : [];
    const take = (handle) => {
      try {
        if (handle === null) return listen.apply(this, args);
        listen.apply(this, [handle, longest, ...rest]);
        lend(this, place);
        return this;
      } catch (error) {
        place.isLent = false;
        throw error;
      }
    };
    if (place.spare === undefined) return take({ fd: FIRST_FD + index, signal });
    signal?.addEventListener('abort', () => this.close());
    if (!(place.spare instanceof Promise)) return take(place.spare);
    void place.spare.then(take);
    return this;
  };
}

/** Its handle is closed once there is a spare one, which is within a moment. */
function lend(server, place) {
  const handle = server._handle;
  if (!handle) return;
  const { close } = handle;
  const spare = duplicated(handle).then((duplicate) => {
    if (isEnding) duplicate?.close();
    place.spare = isEnding ? null : duplicate;
    return place.spare;
  });
  place.spare = spare;
  handle.close = function (...args) {
    place.isLent = false;
    if (place.spare !== spare || isEnding) return close.apply(this, args);
    void spare.then(() => close.apply(this, args));
  };
}

/** From now on a listener that is closed is closed: it would look as if the app still had it. */
function dropSpares() {
  isEnding = true;
  for (const place of places) {
    if (place.spare && !(place.spare instanceof Promise)) place.spare.close();
    if (place.spare) place.spare = null;
  }
}

/** Null where that can't be done. Node has no dup(2), but what is sent to a process is duplicated. */
async function duplicated(handle) {
  try {
    post ??= toOurselves();
    const { send } = await post;
    return await send(handle);
  } catch {
    return null;
  }
}

/** A connection to this process itself, over which handles can be sent. */
function toOurselves() {
  const { Pipe, PipeConnectWrap, constants } = process.binding('pipe_wrap');
  const { WriteWrap } = process.binding('stream_wrap');
  // Of no file system, which may be read-only.
  const name = `\0self-update-${randomUUID()}`;
  const sender = new Pipe(constants.IPC);
  const receiver = new Pipe(constants.IPC);
  const waiting = [];
  receiver.onread = () => {
    const handle = receiver.pendingHandle;
    receiver.pendingHandle = null;
    if (handle) waiting.shift()?.(handle);
    if (waiting.length === 0) receiver.unref();
  };
  const send = (handle) =>
    new Promise((resolve, reject) => {
      const request = new WriteWrap();
      request.oncomplete = () => {};
      const code = sender.writeUtf8String(request, '.', handle);
      if (code !== 0) return reject(new Error(`write: ${code}`));
      waiting.push(resolve);
      receiver.ref();
    });
  return new Promise((resolve, reject) => {
    const server = net.createServer({ pauseOnConnect: true });
    server.once('error', reject).once('connection', (socket) => {
      server.close();
      // The accepted one is not for handles, so it stays as it is, unused, for good.
      socket.unref();
      kept.push(socket);
      const code = receiver.open(socket._handle.fd);
      if (code !== 0) return reject(new Error(`open: ${code}`));
      receiver.readStart();
      resolve({ send });
    });
    server.listen(name, () => {
      const request = new PipeConnectWrap();
      request.oncomplete = (code) => {
        if (code !== 0) reject(new Error(`connect: ${code}`));
      };
      const code = sender.connect(request, name);
      if (code) reject(new Error(`connect: ${code}`));
    });
  });
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
  const { listenerCount, listeners, rawListeners } = EventEmitter.prototype;
  const onTerm = () => {
    dropSpares();
    // The app's own handler knows better.
    if (listenerCount.call(process, 'SIGTERM') > 1 || isDraining) return;
    isDraining = true;
    void drained().then(() => {
      process.removeListener('removeListener', onRemoved);
      process.removeListener('SIGTERM', onTerm);
      process.kill(process.pid, 'SIGTERM');
    });
  };
  // Ours is not seen: a handler that is alone often ends the process, and waits for others else.
  process.listenerCount = function (event, ...rest) {
    const count = listenerCount.call(this, event, ...rest);
    const isOurs = event === 'SIGTERM' && (rest[0] === undefined || rest[0] === onTerm);
    return isOurs && listeners.call(this, event).includes(onTerm) ? count - 1 : count;
  };
  process.listeners = function (event) {
    return listeners.call(this, event).filter((listener) => listener !== onTerm);
  };
  process.rawListeners = function (event) {
    return rawListeners.call(this, event).filter((listener) => listener !== onTerm);
  };
  // Node itself stops looking for the signal where it counts none.
  const onRemoved = (event, listener) => {
    if (event !== 'SIGTERM' || listener === onTerm) return;
    if (process.listenerCount('SIGTERM') > 0) return;
    process.removeListener('SIGTERM', onTerm);
    process.on('SIGTERM', onTerm);
  };
  process.on('SIGTERM', onTerm);
  process.on('removeListener', onRemoved);
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
