import type http from 'node:http';

/** A file as storage sends it: whole, or the range that was asked for; 416 where there is none. */
export function sendRange(
  content: Buffer,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): void {
  const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  if (match === null) {
    response.writeHead(200, { 'content-length': content.length }).end(content);
    return;
  }
  const [from, to] = [Number(match[1]), Number(match[2] || content.length - 1)];
  if (from >= content.length) {
    response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
    return;
  }
  const part = content.subarray(from, to + 1);
  response
    .writeHead(206, {
      'content-length': part.length,
      'content-range': `bytes ${from}-${from + part.length - 1}/${content.length}`,
    })
    .end(part);
}
