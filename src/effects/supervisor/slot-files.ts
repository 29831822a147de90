/**
 * What the scripts of docker/service/app note about the copy of the app in one slot, below
 * /run/self-update/private: SLOT.started, SLOT.group, SLOT.exits, SLOT.end, SLOT.tree, SLOT.ready.
 * Without the strategy hand-over there is one slot, `app`.
 */
import { existsSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { writeOwn } from '../../support/own.ts';
import { CONTAINER_DIR, readOr } from './container.ts';
import { groupMembers, processInfo } from './process-table.ts';
import type { Exit, SlotName } from './supervisor.ts';

export type RecordedExit = Exit & { tree: string; uptimeSeconds: number };

export class SlotFiles {
  readonly name: SlotName;

  constructor(name: SlotName) {
    this.name = name;
  }

  path(what: string): string {
    return path.join(CONTAINER_DIR, `${this.name}.${what}`);
  }

  has(what: string): boolean {
    return existsSync(this.path(what));
  }

  remove(...what: string[]): void {
    for (const one of what) rmSync(this.path(one), { force: true });
  }

  write(what: string, text: string): void {
    writeOwn(this.path(what), text, () => {});
  }

  /** The running copy, as app/run noted it right before it became that. */
  started(): { pid: number; tree: string } | null {
    const match = /^(\d+) (.+)$/m.exec(readOr(this.path('started'), ''));
    const pid = Number(match?.[1]);
    if (!match?.[2] || processInfo(pid)?.isZombie !== false) return null;
    return { pid, tree: match[2] };
  }

  /** Exits that nobody asked for, since the last start that the updater made. */
  exits(): RecordedExit[] {
    return readOr(this.path('exits'), '')
      .split('\n')
      .flatMap((line) => parseExit(line) ?? []);
  }

  /** How the copy ended that was started once. */
  end(): RecordedExit | null {
    return parseExit(readOr(this.path('end'), '').trim());
  }

  /** As app/run noted it: also the number of the copy's session. 0 for none. */
  recordedGroup(): number {
    return Number(readOr(this.path('group'), '').trim()) || 0;
  }

  /** The copy's process group while anything of it lives; its number is the leader's pid. */
  group(): number | null {
    const group = this.recordedGroup();
    return group > 0 && groupMembers(group).length > 0 ? group : null;
  }

  /**
   * Whether a new runsv leaves this slot as it is: runsv(8), file `down`. It marks the slot that is
   * not the app, so that a killed runsv starts no second copy.
   */
  get isMarkedDown(): boolean {
    return existsSync(this.#downFile);
  }

  markDown(isDown: boolean): void {
    if (isDown) writeOwn(this.#downFile, '', () => {});
    else rmSync(this.#downFile, { force: true });
  }

  get #downFile(): string {
    return path.join(CONTAINER_DIR, 'service', this.name, 'down');
  }
}

/** A line of `app/finish`: uptime, exit code or -1, signal, tree. */
export function parseExit(line: string): RecordedExit | null {
  const match = /^(\d+) (-?\d+) (\d+) (.+)$/.exec(line);
  if (!match?.[4]) return null;
  const [uptimeSeconds = 0, code = 0, number = 0] = match.slice(1, 4).map(Number);
  // Those of real time have no name here.
  const signal =
    Object.entries(os.constants.signals).find(([, value]) => value === number)?.[0] ??
    `signal ${number}`;
  return {
    exitCode: code >= 0 ? code : null,
    signal: code >= 0 ? null : signal,
    tree: match[4],
    uptimeSeconds,
  };
}
