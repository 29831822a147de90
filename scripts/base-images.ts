/**
 * Provides the base images that the Dockerfile names, for machines that reach no image registry:
 * `npm run base-images`.
 */
import { provideBaseImages } from '../test/support/docker/base-images.ts';
import { startEngine } from '../test/support/docker/engine.ts';

const stopEngine = await startEngine();
await provideBaseImages((text) => process.stdout.write(`${text}\n`));
await stopEngine();
