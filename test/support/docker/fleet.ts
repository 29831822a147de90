/**
 * Images for examples/fleet, under the very names that its files have: etcd and HAProxy as Debian
 * has them, and in airlock's place the suite's lock server, which reads airlock's configuration.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { docker } from './engine.ts';
import { derive } from './setup.ts';

const FLEET = path.join(import.meta.dirname, '..', 'fleet');
const SERVERS = 'self-update-test:fleet';

/** As `airlock serve`: what it reads of its file is what the example sets. */
const AIRLOCK = `#!/bin/sh
[ "$1" = serve ] || exit 64
value() { sed -n "s/^$1 = //p" /etc/airlock/config.toml | tr -d '[]" '; }
export HOST="$(value address)" PORT="$(value port)" ETCD="$(value endpoints)"
export SLOTS="$(value default_group_name)=$(value default_slots)"
exec node /opt/fleet/server.ts
`;

/** `images` are those of the file, by service. */
export async function provideFleet(images: Record<string, string>): Promise<void> {
  const debian = images['haproxy'] ?? '';
  await derive(
    'debian:bookworm-slim',
    SERVERS,
    'RUN apt-get update -q && apt-get install -qy --no-install-recommends etcd-server haproxy',
  );
  await derive(
    SERVERS,
    debian,
    'CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]',
  );
  await docker(['tag', SERVERS, images['etcd'] ?? '']);
  const sources = ['server.ts', 'slots.ts'].map(
    (name) => [`fleet/${name}`, readFileSync(path.join(FLEET, name))] as const,
  );
  await derive(
    'node:24-bookworm-slim',
    images['airlock'] ?? '',
    'COPY fleet /opt/fleet\nCOPY airlock /usr/local/bin/airlock',
    { ...Object.fromEntries(sources), airlock: AIRLOCK },
  );
}
