#!/usr/bin/env node
// A Node service on the held socket (UPDATE_LISTEN).
const { execFile } = require('node:child_process');
const { readFileSync } = require('node:fs');
const http = require('node:http');
const net = require('node:net');

const version = readFileSync('VERSION');
let isDraining = false;
const server = http.createServer((_request, response) => {
  if (isDraining) response.setHeader('connection', 'close');
  response.end(version);
});
const isHeld = Number(process.env.LISTEN_PID) === process.pid;
// As the second argument: Node reads no other beside fd, and would cut the queue to 511.
server.listen(isHeld ? { fd: 3 } : { port: 8080 }, 4096, ready);

// Node has no datagram sockets of Unix: another program says READY=1, where there is one.
function ready() {
  if (process.env.NOTIFY_SOCKET === undefined) return;
  const say =
    'socket S, AF_UNIX, SOCK_DGRAM, 0; send S, "READY=1", 0, sockaddr_un $ENV{NOTIFY_SOCKET}';
  execFile('perl', ['-MSocket', '-e', say], () => {});
}

process.on('SIGTERM', () => {
  isDraining = true;
  // Our copy of the listener only: what comes from now on waits for the next version. Not
  // server.close() of http, which also cuts connections that are kept or have just come.
  net.Server.prototype.close.call(server, () => process.exit(0));
  setInterval(() => server.closeIdleConnections(), 200);
});
