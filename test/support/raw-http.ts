/** HTTP as bytes on a socket: what no client library would send. */
import net from 'node:net';

export type RawAnswer = { status: number; headers: Map<string, string>; body: string };

/**
 * Sends the bytes, and resolves with the first answer: with its body, except of an endless stream.
 * A connection that is closed without an answer has status 0; one on which nothing comes never
 * resolves, which the test's own time limit ends.
 */
export function sendRaw(port: number, request: string | Buffer): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(request));
    let received = '';
    let isOver = false;
    const look = () => {
      const answer = parseAnswer(received, isOver);
      if (answer === null) return;
      socket.destroy();
      resolve(answer);
    };
    socket.setEncoding('latin1');
    socket.on('data', (chunk) => {
      received += String(chunk);
      look();
    });
    socket.on('end', () => {
      isOver = true;
      look();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') return reject(error);
      isOver = true;
      look();
    });
  });
}

/** Null while the answer is not complete. */
function parseAnswer(received: string, isOver: boolean): RawAnswer | null {
  // "100 Continue" comes before the answer.
  const text = received.replace(/^HTTP\/1\.1 100 .*?\r\n\r\n/s, '');
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return isOver ? { status: 0, headers: new Map(), body: '' } : null;
  const [statusLine = '', ...lines] = text.slice(0, end).split('\r\n');
  const headers = new Map(
    lines.map((line) => [
      line.slice(0, line.indexOf(':')).toLowerCase(),
      line.slice(line.indexOf(':') + 1).trim(),
    ]),
  );
  const body = text.slice(end + 4);
  const status = Number(statusLine.split(' ')[1]);
  const length = headers.get('content-length');
  const isComplete =
    isOver ||
    status === 204 ||
    headers.get('content-type') === 'text/event-stream' ||
    (length !== undefined && body.length >= Number(length));
  return isComplete ? { status, headers, body } : null;
}
