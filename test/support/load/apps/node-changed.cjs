#!/usr/bin/env node
// A Node server that borrows its listener (sd_listen_fds(3)), or binds PORT itself where it is given none, and drains at TERM.
// Answers with the VERSION beside it, after ?ms=. START_MS is the time until it listens.
const { readFileSync } = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');

const { LISTEN_PID, PORT, START_MS = '0' } = process.env;
/** So long kept connections are answered with "close" before idle ones are closed: a request may be on its way. */
const FAREWELL_MS = 200;
const isBorrowed = Number(LISTEN_PID) === process.pid;
const version = readFileSync(path.join(__dirname, 'VERSION'), 'utf8').trim();
let isDraining = false;
const server = http.createServer((request, response) => {
  const ms = Number(new URL(request.url, 'http://localhost').searchParams.get('ms'));
  setTimeout(() => {
    if (isDraining) response.setHeader('connection', 'close');
    response.end(version);
  }, ms);
});
setTimeout(
  () => server.listen(isBorrowed ? { fd: 3 } : { port: Number(PORT), host: '127.0.0.1' }),
  Number(START_MS),
);
process.on('SIGTERM', () => {
  isDraining = true;
  // Our copy of the listener only: http's own close would cut idle connections at once.
  net.Server.prototype.close.call(server, () => process.exit(0));
  setInterval(() => server.closeIdleConnections(), FAREWELL_MS);
});
