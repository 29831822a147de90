/** The process that sends the load: streams by their options as the argument, words by IPC. */
import { Stream, type StreamOptions } from './stream.ts';

const options = JSON.parse(process.argv[2] ?? '[]') as StreamOptions[];
const streams = options.map((its) => new Stream(its));
for (const [index, stream] of streams.entries())
  stream.onNewBody = (body) => process.send?.({ index, body });
// Whoever started it is gone: nobody would read what comes out.
process.on('disconnect', () => process.exit());
process.on('message', async (word) => {
  if (word === 'stop') await Promise.all(streams.map((stream) => stream.stop()));
  process.send?.({ reports: streams.map((stream) => stream.report()) }, () => {
    if (word === 'stop') process.exit();
  });
});
