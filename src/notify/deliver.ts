/**
 * Tells one notice to an address or a command. Every wait is bounded; an address is a secret, so no
 * error names more than its host.
 */
import got from 'got';
import { runCommandLine } from '../effects/command.ts';
import { agentsFor, hostOf, type ProxyEnvironment } from '../effects/http/http.ts';
import { LineReader } from '../support/bounded.ts';
import { Fault } from '../support/fault.ts';
import type { Notice } from './notice.ts';

const ANSWER_TIMEOUT_MS = 10_000;
const COMMAND_TIMEOUT_MS = 10_000;

export async function post(
  url: string,
  notice: Notice,
  proxy: ProxyEnvironment,
  userAgent: string,
): Promise<void> {
  const request = got.stream.post(url, {
    json: notice,
    headers: { 'user-agent': userAgent },
    retry: { limit: 0 },
    followRedirect: false,
    throwHttpErrors: false,
    timeout: { request: ANSWER_TIMEOUT_MS },
    agent: await agentsFor(proxy),
  });
  try {
    const status = await new Promise<number>((resolve, reject) => {
      request.once('response', (response: { statusCode: number }) => resolve(response.statusCode));
      request.once('error', reject);
    });
    if (status < 200 || status > 299)
      throw new Fault(
        'NOTIFY_FAILED',
        `${hostOf(url)} answered ${status} to a notification: check UPDATE_NOTIFY_URL`,
      );
  } catch (error) {
    if (error instanceof Fault) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new Fault(
      'NOTIFY_FAILED',
      `${hostOf(url)} could not be notified (${code ?? 'no answer'}): check UPDATE_NOTIFY_URL and the network`,
    );
  } finally {
    // Its answer is of no interest, and may have no end.
    request.on('error', () => {});
    request.destroy();
  }
}

/**
 * The notice as JSON on standard input, its event in `UPDATE_NOTICE`; no setting of the updater in
 * its environment. `directory`: UPDATE_DIR.
 */
export async function runCommand(
  command: string,
  notice: Notice,
  {
    environment,
    directory,
    say,
  }: {
    environment: Readonly<Record<string, string>>;
    directory: string;
    say: (line: string) => void;
  },
): Promise<void> {
  const lines = new LineReader((line) => say(`notify command: ${line}`));
  const outcome = await runCommandLine(
    {
      command,
      name: 'notify',
      directory,
      environment: { ...environment, UPDATE_NOTICE: notice.event },
      timeoutMs: COMMAND_TIMEOUT_MS,
      onOutput: (chunk) => lines.push(chunk),
      input: `${JSON.stringify(notice)}\n`,
    },
    new AbortController().signal,
  );
  lines.end();
  if (outcome === 'late')
    throw new Fault(
      'NOTIFY_FAILED',
      `UPDATE_NOTIFY_CMD took longer than ${COMMAND_TIMEOUT_MS / 1000} s and was killed`,
    );
  if (outcome !== 0)
    throw new Fault(
      'NOTIFY_FAILED',
      `UPDATE_NOTIFY_CMD exited with status ${outcome ?? 'unknown'}: see its output in the log`,
    );
}
