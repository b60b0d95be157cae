/** The threads over the steps: a row each, with a bar from its first step to its last, and a mark where it forks. */

import { draw, make } from "./dom.js";
import { count, whole } from "./figures.js";

const ROW = 26;
const BAR = 14;
const TOP = 22; // room for the axis
const ROOM = 4; // at the right of the last step
const MOST_ROWS = 200;
const LABEL = 36; // width of the axis' longest labels, in pixels

const ENDS = {
  eos: "ended", stop: "ended by a stop text", length: "cut by a limit", cancelled: "cancelled",
  repeated: "ended before a repeated lead",
};

export class Timeline {
  #rows = new Map(); // by thread: its button and the parts that change
  #picture = draw("svg", { class: "tracks", "aria-hidden": "true" });
  #list = make("ul", {});
  #more = make("p", { class: "faint more", hidden: true });

  /** `resized` is called when the drawing has to be done again. */
  constructor(label, resized) {
    const names = ["thread", "tokens"].map((name) => make("span", {}, name));
    const head = make("div", { class: "axis-names", "aria-hidden": "true" }, ...names);
    const attributes = { class: "timeline", role: "region", "aria-label": label };
    this.element = make("div", attributes, head, this.#picture, this.#list, this.#more);
    new ResizeObserver(resized).observe(this.element);
  }

  clear() {
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#picture.replaceChildren();
  }

  /** The button of a thread; undefined if it has none. */
  elementOf(key) {
    return this.#rows.get(key)?.button;
  }

  /** Draw `answer` on an axis of `steps` steps; `open` if more of it comes. */
  draw(answer, steps, open) {
    const all = answer.inReadingOrder();
    const threads = all.slice(0, MOST_ROWS);
    this.#more.hidden = all.length === threads.length;
    this.#more.textContent = `and ${count(all.length - threads.length, "more thread")}`;
    threads.forEach((thread, index) => this.#row(thread, index, answer.tokensOf(thread), open));
    const height = TOP + ROW * threads.length;
    this.#picture.setAttribute("height", height);
    const width = this.#picture.clientWidth;
    if (width) this.#paint(layout(threads, steps, width), width, height);
  }

  #row(thread, index, tokens, open) {
    let row = this.#rows.get(thread.key);
    if (!row) {
      row = makeRow(thread, this.#rows.size === 0);
      this.#rows.set(thread.key, row);
      this.#list.insertBefore(row.item, this.#list.children[index] ?? null);
    }
    const ended = ENDS[thread.finished] ?? (open ? "being decoded" : "not ended");
    const drafts = thread.drafted ? `, ${whole(thread.accepted)} of ${count(thread.drafted, "draft token")} right` : "";
    const description = `steps ${thread.start} to ${thread.last}, ${count(tokens, "token")}, ${ended}${drafts}`;
    if (description === row.description) return;
    row.description = description;
    row.button.setAttribute("aria-label", `thread ${thread.key}, ${thread.lead}: ${description}`);
    row.button.title = `${thread.lead}\n${description}`;
    row.tokens.textContent = whole(tokens);
  }

  #paint({ ticks, bars, forks }, width, height) {
    const axis = ticks.flatMap(({ x, label }) => {
      const place = x + LABEL < width ? { x: x + 3 } : { x: x - 3, class: "last" };
      const line = draw("line", { class: "grid", x1: x, x2: x, y1: TOP - 4, y2: height });
      return [line, draw("text", { ...place, y: TOP - 8 }, label)];
    });
    const forkOf = new Map(forks.map((fork) => [fork.child, fork]));
    const links = bars.filter((bar) => forkOf.has(bar.thread.key)).map((bar) => {
      const { x, y } = forkOf.get(bar.thread.key);
      return hued(bar.thread, draw("path", { class: "fork", d: `M${x} ${y + BAR}V${bar.y}` }));
    });
    const shapes = bars.map((bar) => hued(bar.thread, draw("rect", {
      class: classOf(bar.thread), "data-thread": bar.thread.key,
      x: bar.x, y: bar.y, width: bar.width, height: BAR, rx: 3,
    })));
    const marks = forks.map(({ x, y }) => draw("line", { class: "mark", x1: x, x2: x, y1: y, y2: y + BAR }));
    this.#picture.replaceChildren(...axis, ...links, ...shapes, ...marks);
  }
}

function makeRow(thread, first) {
  const depth = Math.min(thread.path.length - 1, 6);
  const label = make("span", { class: "label" }, make("b", {}, thread.key), " ", thread.lead);
  label.style.setProperty("--depth", depth);
  const tokens = make("span", { class: "tokens" });
  const attributes = { type: "button", "data-thread": thread.key, tabindex: first ? "0" : "-1" };
  const button = make("button", attributes, label, tokens);
  button.style.setProperty("--hue", hueOf(thread.number));
  if (depth === 0) button.classList.add("root");
  return { item: make("li", {}, button), button, tokens, description: "" };
}

function hued(thread, shape) {
  if (thread.path.length === 1) shape.classList.add("root");
  else shape.style.setProperty("--hue", hueOf(thread.number));
  return shape;
}

const classOf = ({ finished }) => "bar" + (finished === null ? " live" : finished === "eos" ? "" : " cut");


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
