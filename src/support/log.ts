/** What everybody who has something to say is given; src/cli/log.ts makes one. */

/** `fields` are for machines: the log's JSON has them beside the message. */
export type LogFields = Readonly<Record<string, string | number>>;
export type Log = {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  debug(message: string): void;
};
