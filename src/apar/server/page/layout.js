/** The numbers of a timeline: where bars, forks and the axis are, in pixels. */

export const ROW = 26;
export const BAR = 14;
export const TOP = 22; // room for the axis
const ROOM = 4; // at the right of the last step

/** Neighbouring threads get hues far from each other. */
export const hueOf = (number) => Math.round((212 + number * 137.5) % 360);

/** Steps between two marks of the axis: 1, 2 or 5 times a power of ten, at most `most` marks. */
export function tick(steps, most) {
  for (let size = 1; ; size *= 10) {
    for (const factor of [1, 2, 5]) if (steps <= most * factor * size) return factor * size;
  }
}

/** A round number of steps that the axis shows while an answer grows, so that it seldom changes. */
export function extent(steps) {
  for (let size = 32; ; size *= 2) {
    for (const factor of [1, 1.5]) if (steps <= factor * size) return factor * size;
  }
}

/**
 * The bars of `threads`, in reading order, on an axis of `steps` steps that is `width` pixels wide:
 * `{ticks: [{x, label}], bars: [{thread, x, y, width}], forks: [{x, y, child}]}`.
 */
export function layout(threads, steps, width) {
  const x = (step) => Math.round((10 * step * (width - ROOM)) / Math.max(steps, 1)) / 10;
  const every = tick(steps, Math.max(2, Math.floor(width / 70)));
  const ticks = [];
  for (let step = 0; step <= steps; step += every) ticks.push({ x: x(step), label: String(step) });
  const rows = new Map(threads.map((thread, row) => [thread.key, TOP + row * ROW]));
  const bars = threads.map((thread) => {
    const [from, to] = [x(thread.start), x(thread.last + 1)];
    return { thread, x: from, y: rows.get(thread.key) + (ROW - BAR) / 2, width: Math.max(to - from, 2) };
  });
  const forks = threads.flatMap((thread) =>
    thread.forks.map((fork) => ({
      x: x(fork.step + 1), y: rows.get(thread.key) + (ROW - BAR) / 2, child: fork.child,
    })),
  );
  return { ticks, bars, forks };
}
