/**
 * Reads a list of releases from the address in its argument, in the little memory that its parent
 * gave it; prints how it ended.
 */

import { Http } from '../../src/effects/http/http.ts';
import { GitHub } from '../../src/effects/sources/github.ts';

const [apiUrl = ''] = process.argv.slice(2);
const http = new Http({
  userAgent: 'test',
  apiUrl,
  assetHosts: ['127.0.0.1'],
  mayBePlain: () => true,
  token: () => null,
  proxyEnvironment: {},
});
let keptCharacters = 0;
const cache = {
  read: () => null,
  write: (_: string, entry: { body: string }) => {
    keptCharacters += entry.body.length;
  },
};
const github = new GitHub({ http, repository: 'acme/app', cache, now: Date.now });
const ended = await github.list(0, AbortSignal.timeout(120_000), 8).then(
  ({ releases, isComplete }) => ({ releases: releases.length, isComplete }),
  ({ code }: { code: string }) => ({ code }),
);
process.stdout.write(JSON.stringify({ ...ended, keptCharacters }));
