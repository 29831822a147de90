/** Times, told as people tell them, and exactly on request. */
import { useEffect, useState } from 'preact/hooks';
import { formatDuration } from '../../report/words.ts';

const TICK_MS = 1000;

/** The clock of the page, in ms: whatever uses it is shown anew each second. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  return now;
}

export function Ago({ at, now }: { at: string | null; now: number }) {
  if (at === null) return <span>never</span>;
  return (
    <time dateTime={at} title={new Date(at).toLocaleString()}>
      {formatDuration(Math.max(1000, now - Date.parse(at)))} ago
    </time>
  );
}

export function Ahead({ at, now }: { at: string | null; now: number }) {
  if (at === null) return <span>unknown</span>;
  const ms = Date.parse(at) - now;
  return (
    <time dateTime={at} title={new Date(at).toLocaleString()}>
      {ms <= 0 ? 'now' : `in ${formatDuration(Math.max(1000, ms))}`}
    </time>
  );
}

export function Moment({ at }: { at: string | null }) {
  return at === null ? (
    <span>–</span>
  ) : (
    <time dateTime={at}>
      {new Date(at).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' })}
    </time>
  );
}
