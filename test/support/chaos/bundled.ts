/**
 * The command line from the bundle, as the image runs it: it starts in half the time of the
 * sources.
 */
import module from 'node:module';

// Thousands of starts.
module.enableCompileCache();
const { main } = (await import(new URL('../../../dist/self-update.js', import.meta.url).href)) as {
  main: (args: string[], env: NodeJS.ProcessEnv) => Promise<number>;
};
process.exit(await main(process.argv.slice(2), process.env));
