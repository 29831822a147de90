/**
 * Whoever has a terminal open can stop its output: a person by Ctrl-S, an app on the same one by
 * tcflow(3). A write then waits until the output goes on, and with it the updater would stand
 * still.
 */
import { constants, openSync, writeSync } from 'node:fs';

/**
 * From now on what is written to this stream, where it is a terminal, is written at once or lost:
 * lines are counted, and the next one that gets through is preceded by their number. Through a
 * descriptor of our own: Node's waits, and whoever shares it may rely on that.
 */
export function neverWait(stream: NodeJS.WriteStream & { fd: number }): void {
  if (stream.isTTY !== true) return;
  let descriptor: number;
  try {
    descriptor = openSync(
      `/proc/self/fd/${stream.fd}`,
      constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
    );
  } catch {
    return;
  }
  let lost = 0;
  const put = (text: string): boolean => {
    try {
      for (let bytes = Buffer.from(text); bytes.length > 0; )
        bytes = bytes.subarray(writeSync(descriptor, bytes));
      return true;
    } catch {
      // EAGAIN; or the terminal is gone.
      return false;
    }
  };
  stream.write = (chunk: unknown, ...rest: unknown[]) => {
    const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk as Uint8Array).toString();
    if (
      lost > 0 &&
      put(
        `update: the terminal's output was stopped, and ${lost} lines are lost; \`self-update events\` has all that happened\n`,
      )
    )
      lost = 0;
    // A progress bar is drawn anew.
    if ((lost > 0 || !put(text)) && text.endsWith('\n')) lost += 1;
    const done = rest.at(-1);
    if (typeof done === 'function') process.nextTick(done as () => void);
    return true;
  };
}
