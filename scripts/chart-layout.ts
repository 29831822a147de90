/**
 * Places boxes in rows and columns. In a row the first states of all boxes lie on one line, however
 * deep they are; in a column likewise.
 */

/** At 15 px, as the page's style sheet has it. */
const CHARACTER_PX = 8.2;
const STATE_HEIGHT_PX = 32;
const GAP_PX = 18;
const PADDING = { top: 26, side: 10, bottom: 10 };

export type Rect = { x: number; y: number; width: number; height: number };

/**
 * `anchor`: where in it the first state begins. `place` is given where the box begins, and what to
 * tell of each rectangle.
 */
export type Box = {
  width: number;
  height: number;
  anchor: { x: number; y: number };
  place: (x: number, y: number, tell: (id: string, rect: Rect) => void) => void;
};

/** Rectangles by the ids of what they belong to; the whole under ''. */
export function place(box: Box): Map<string, Rect> {
  const found = new Map<string, Rect>([['', { x: 0, y: 0, width: box.width, height: box.height }]]);
  box.place(0, 0, (id, rect) => found.set(id, rect));
  return found;
}

/** As wide as the last part of its id. */
export function leaf(id: string): Box {
  const [width, height] = [
    (id.split('.').at(-1)?.length ?? 0) * CHARACTER_PX + 22,
    STATE_HEIGHT_PX,
  ];
  return {
    width,
    height,
    anchor: { x: 0, y: 0 },
    place: (x, y, tell) => tell(id, { x, y, width, height }),
  };
}

/** A box with a title around another. */
export function group(id: string, inner: Box): Box {
  const width = inner.width + 2 * PADDING.side;
  const height = inner.height + PADDING.top + PADDING.bottom;
  return {
    width,
    height,
    anchor: { x: inner.anchor.x + PADDING.side, y: inner.anchor.y + PADDING.top },
    place: (x, y, tell) => {
      tell(id, { x, y, width, height });
      inner.place(x + PADDING.side, y + PADDING.top, tell);
    },
  };
}

export function row(boxes: readonly Box[], gap = GAP_PX): Box {
  const line = Math.max(...boxes.map(({ anchor }) => anchor.y));
  return {
    width: boxes.reduce((sum, { width }) => sum + width, (boxes.length - 1) * gap),
    height: Math.max(...boxes.map(({ height, anchor }) => line - anchor.y + height)),
    anchor: { x: boxes[0]?.anchor.x ?? 0, y: line },
    place: (x, y, tell) => {
      let left = x;
      for (const box of boxes) {
        box.place(left, y + line - box.anchor.y, tell);
        left += box.width + gap;
      }
    },
  };
}

export function column(boxes: readonly Box[], gap = GAP_PX): Box {
  return turn(row(boxes.map(turn), gap));
}

/** The same with its axes changed. */
function turn({ width, height, anchor, place: inner }: Box): Box {
  return {
    width: height,
    height: width,
    anchor: { x: anchor.y, y: anchor.x },
    place: (x, y, tell) => inner(y, x, tell),
  };
}
