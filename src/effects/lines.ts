/** Lines out of a stream of somebody else's bytes, bounded: neither a line without an end nor one without a pause may fill memory or the log. */
import { StringDecoder } from 'node:string_decoder';

const LONGEST_LINE = 1000;
const MOST_LINES = 1000;

export class LineReader {
  readonly #say: (line: string) => void;
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';
  #lines = 0;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  push(chunk: Buffer): void {
    const parts = (this.#rest + this.#decoder.write(chunk)).split(/\r?\n/);
    this.#rest = (parts.pop() ?? '').slice(0, LONGEST_LINE);
    for (const part of parts) this.#emit(part);
  }

  end(): void {
    if (this.#rest !== '') this.#emit(this.#rest);
    this.#rest = '';
  }

  #emit(line: string): void {
    this.#lines += 1;
    if (this.#lines > MOST_LINES) return;
    this.#say(this.#lines === MOST_LINES ? '… and more, which is left out' : line.slice(0, LONGEST_LINE));
  }
}
