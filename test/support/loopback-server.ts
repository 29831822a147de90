/** What stand-ins of servers have in common: real HTTP, at an address of this machine alone. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export abstract class LoopbackServer implements AsyncDisposable {
  readonly #server = http.createServer((request, response) => this.answer(request, response));

  protected abstract answer(request: http.IncomingMessage, response: http.ServerResponse): void;

  async listen(): Promise<this> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }
}
