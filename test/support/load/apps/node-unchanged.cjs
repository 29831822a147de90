#!/usr/bin/env node
// A Node server as most are: it knows nothing of held sockets, nor of signals. Answers with the VERSION beside it, after ?ms=.
// START_MS is the time until it listens.
const { readFileSync } = require('node:fs');
const http = require('node:http');
const path = require('node:path');

const version = readFileSync(path.join(__dirname, 'VERSION'), 'utf8').trim();
const server = http.createServer((request, response) => {
  const ms = Number(new URL(request.url, 'http://localhost').searchParams.get('ms'));
  setTimeout(() => response.end(version), ms);
});
setTimeout(() => server.listen(Number(process.env.PORT)), Number(process.env.START_MS ?? 0));
