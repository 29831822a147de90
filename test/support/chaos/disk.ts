/**
 * A disk that forgets: system calls of a recorded run are played on a model in which only what was
 * synced is sure. A power cut may lose, or let through out of order, any of the rest. As POSIX has
 * it, fsync(2) of a file keeps its content, and of a directory its entries.
 */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import type { Random } from './cases.ts';

/** Paths are relative to the directory that is modelled; `.` is itself. */
export type Operation =
  | { type: 'create'; file: string; mode: number; truncate: boolean }
  | { type: 'write'; file: string; offset: number; data: Buffer }
  /** Bytes that a program had the kernel copy. */
  | { type: 'copy'; from: string; file: string; offset: number; size: number }
  | { type: 'truncate'; file: string; size: number }
  | { type: 'mode'; file: string; mode: number }
  | { type: 'mkdir'; file: string; mode: number }
  | { type: 'symlink'; file: string; target: string }
  | { type: 'remove'; file: string }
  | { type: 'rename'; file: string; to: string }
  | { type: 'sync'; file: string }
  | { type: 'syncAll' }
  /**
   * A signal was sent: what had to be durable before the app is touched is checked at this mark.
   */
  | { type: 'kill' };

/** How a power cut treats what was not synced. */
export type Cut = {
  /**
   * `ordered`: the newest entries are lost, as in a journaling file system. `any`: each for itself.
   */
  entries: 'ordered' | 'any';
  /** 0 to 1: chance of each unsynced write to be lost, or torn. */
  lostWrites: number;
};

type Edit = { offset: number; data: Buffer } | { size: number } | { mode: number };
type Node = {
  kind: 'directory' | 'file' | 'link';
  content: Buffer;
  target: string;
  mode: number;
  pending: Edit[];
};
type Entries = Map<number, Map<string, number>>;
/** Entries of one directory that change together. Null removes. */
type Change = { directory: number; name: string; node: number | null }[];

const ROOT = 0;
const SECTOR_BYTES = 512;

export class Disk {
  readonly #nodes: Node[] = [];
  /** What programs see. */
  readonly #live: Entries = new Map();
  /** What no power cut takes away. */
  readonly #sure: Entries;
  #changes: Change[] = [];

  constructor(directory: string) {
    this.#load(directory);
    this.#sure = copyOf(this.#live);
  }

  play(operation: Operation): void {
    switch (operation.type) {
      case 'create': {
        const existing = this.#find(operation.file);
        if (existing === null) this.#add(operation.file, { kind: 'file', mode: operation.mode });
        else if (operation.truncate) this.#nodeOf(operation.file).pending.push({ size: 0 });
        break;
      }
      case 'write':
      case 'truncate':
      case 'mode':
        this.#nodeOf(operation.file).pending.push(operation);
        break;
      case 'copy': {
        const source = this.#nodeOf(operation.from);
        const { content } = source.pending.reduce<Remains>(edited, source);
        this.#nodeOf(operation.file).pending.push({
          offset: operation.offset,
          data: content.subarray(operation.offset, operation.offset + operation.size),
        });
        break;
      }
      case 'mkdir':
        this.#add(operation.file, { kind: 'directory', mode: operation.mode });
        break;
      case 'symlink':
        this.#add(operation.file, { kind: 'link', target: operation.target });
        break;
      case 'remove':
        this.#change([{ ...this.#entry(operation.file), node: null }]);
        break;
      case 'rename': {
        const [from, to, node] = [
          this.#entry(operation.file),
          this.#entry(operation.to),
          this.#find(operation.file),
        ];
        // Each directory's entry is as sure as its own sync; within one, a rename is lost or kept
        // as a whole.
        if (from.directory === to.directory)
          this.#change([
            { ...from, node: null },
            { ...to, node },
          ]);
        else
          for (const entry of [
            { ...to, node },
            { ...from, node: null },
          ])
            this.#change([entry]);
        break;
      }
      case 'sync':
        this.#sync(this.#find(operation.file));
        break;
      case 'syncAll':
        for (const change of this.#changes.splice(0)) apply(this.#sure, change);
        for (const node of this.#nodes) settle(node);
        break;
      case 'kill':
        break;
      default:
        operation satisfies never;
    }
  }

  /** Writes what one power cut at this moment would leave. */
  cut(into: string, { entries, lostWrites }: Cut, random: Random): void {
    const left = copyOf(this.#sure);
    const newest = Math.floor(random() * (this.#changes.length + 1));
    for (const [index, change] of this.#changes.entries())
      if (entries === 'ordered' ? index < newest : random() < 0.5) apply(left, change);
    const store = (id: number, file: string): void => {
      const node = this.#nodes[id] as Node;
      const { content, mode } = afterCut(node, lostWrites, random);
      if (node.kind === 'link') {
        symlinkSync(node.target, file);
        return;
      }
      if (node.kind === 'file') writeFileSync(file, content);
      else {
        mkdirSync(file);
        for (const [name, child] of left.get(id) ?? []) store(child, path.join(file, name));
      }
      chmodSync(file, mode);
    };
    store(ROOT, into);
  }

  #load(file: string): number {
    const stats = lstatSync(file);
    const kind = stats.isSymbolicLink() ? 'link' : stats.isDirectory() ? 'directory' : 'file';
    const content = kind === 'file' ? readFileSync(file) : Buffer.alloc(0);
    const id = this.#make({
      kind,
      content,
      target: kind === 'link' ? readlinkSync(file) : '',
      mode: stats.mode & 0o7777,
    });
    if (kind === 'directory')
      this.#live.set(
        id,
        new Map(readdirSync(file).map((name) => [name, this.#load(path.join(file, name))])),
      );
    return id;
  }

  #make(node: Partial<Node> & Pick<Node, 'kind'>): number {
    return (
      this.#nodes.push({
        content: Buffer.alloc(0),
        target: '',
        mode: 0o777,
        pending: [],
        ...node,
      }) - 1
    );
  }

  #add(file: string, node: Partial<Node> & Pick<Node, 'kind'>): void {
    this.#change([{ ...this.#entry(file), node: this.#make(node) }]);
  }

  #change(change: Change): void {
    apply(this.#live, change);
    this.#changes.push(change);
  }

  #find(file: string): number | null {
    const names = file.split('/').filter((name) => name !== '.');
    return names.reduce<number | null>(
      (id, name) => (id === null ? null : (this.#live.get(id)?.get(name) ?? null)),
      ROOT,
    );
  }

  #nodeOf(file: string): Node {
    const node = this.#nodes[this.#find(file) ?? -1];
    if (node === undefined) throw new Error(`the model has no ${file}`);
    return node;
  }

  #entry(file: string): { directory: number; name: string } {
    const directory = this.#find(path.dirname(file));
    if (directory === null) throw new Error(`the model has no directory for ${file}`);
    return { directory, name: path.basename(file) };
  }

  #sync(id: number | null): void {
    if (id === null) return;
    settle(this.#nodes[id] as Node);
    const touches = (change: Change) => change.some(({ directory }) => directory === id);
    for (const change of this.#changes.filter(touches)) apply(this.#sure, change);
    this.#changes = this.#changes.filter((change) => !touches(change));
  }
}

function copyOf(entries: Entries): Entries {
  return new Map([...entries].map(([id, names]) => [id, new Map(names)]));
}

function apply(entries: Entries, change: Change): void {
  for (const { directory, name, node } of change) {
    const names = entries.get(directory) ?? new Map<string, number>();
    entries.set(directory, names);
    if (node === null) names.delete(name);
    else names.set(name, node);
  }
}

type Remains = { content: Buffer; mode: number };

function settle(node: Node): void {
  for (const edit of node.pending.splice(0)) Object.assign(node, edited(node, edit));
}

function edited({ content, mode }: Remains, edit: Edit): Remains {
  if ('data' in edit) {
    const grown = Buffer.concat([
      content,
      Buffer.alloc(Math.max(0, edit.offset + edit.data.length - content.length)),
    ]);
    edit.data.copy(grown, edit.offset);
    return { content: grown, mode };
  }
  if ('size' in edit)
    return {
      content: Buffer.concat([
        content.subarray(0, edit.size),
        Buffer.alloc(Math.max(0, edit.size - content.length)),
      ]),
      mode,
    };
  return { content, mode: edit.mode };
}

/**
 * Each unsynced write came through, or it did not, or its length did without some of its sectors.
 */
function afterCut(node: Node, lostWrites: number, random: Random): Remains {
  return node.pending.reduce<Remains>((remains, edit) => {
    if (random() >= lostWrites) return edited(remains, edit);
    return 'data' in edit && random() < 0.5
      ? edited(remains, { ...edit, data: torn(edit.data, random) })
      : remains;
  }, node);
}

function torn(data: Buffer, random: Random): Buffer {
  const result = Buffer.from(data);
  for (let at = 0; at < result.length; at += SECTOR_BYTES)
    if (random() < 0.5) result.fill(0, at, Math.min(at + SECTOR_BYTES, result.length));
  return result;
}
