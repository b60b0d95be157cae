/** One answer: its figures, its threads' timeline and its document. */

import { AnswerState } from "./answer-state.js";
import { AnswerDocument } from "./document.js";
import { make } from "./dom.js";
import { counters, whyNot } from "./figures.js";
import { linkSelection } from "./selection.js";
import { extent, Timeline } from "./timeline.js";
import { inStepOrder, writeTrace } from "./trace.js";

/** What is known of one answer. `state`: waiting, decoding, complete, cut, stopped, failed or trace. */
export const makeRun = (title, state = "waiting") =>
  ({ title, state, answer: new AnswerState(), metrics: null, seconds: null, firstText: null });

const STATES = {
  waiting: "waiting", decoding: "decoding", complete: "complete", cut: "cut by max. tokens", stopped: "stopped",
  failed: "broken off", trace: "from a file",
};

export const isOpen = (run) => run.state === "waiting" || run.state === "decoding";

export class Panel {
  #run;
  #shown = new AnswerState(); // what is drawn: in a replay less than the run has
  #events = []; // of the run, those that are drawn first
  #news = new Set(); // threads to be drawn
  #cells = new Map();

  /** `changed` is called when there is something to draw. */
  constructor(run, changed) {
    this.#run = run;
    this.document = new AnswerDocument(`Answer, ${run.title}`);
    this.timeline = new Timeline(`Threads over steps, ${run.title}`, changed);
    linkSelection([this.document, this.timeline], () => this.#shown.inReadingOrder().map((thread) => thread.key));
    this.state = make("span", { class: "state" });
    this.figures = make("dl", { class: "figures" });
    const save = make("button", { type: "button", class: "quiet", onclick: () => this.#save() }, "Save trace");
    const head = make("header", {}, make("h3", {}, run.title), this.state, save);
    this.why = make("p", { class: "faint why", hidden: true });
    const numbers = make("div", { class: "numbers" }, this.figures, this.why);
    const parts = [head, numbers, this.timeline.element, this.document.element];
    this.element = make("section", { class: "panel", "aria-label": run.title }, ...parts);
    this.showAll();
  }

  get run() {
    return this.#run;
  }

  /** The steps that the axis needs. While an answer grows they are round, so that the axis seldom changes. */
  get steps() {
    return isOpen(this.#run) ? extent(this.#run.answer.steps) : this.#run.answer.steps;
  }

  /** Take in an event of the answer that is being decoded. */
  add(event) {
    this.#news.add(this.#run.answer.add(event));
  }

  /** Show all there is of the run. */
  showAll() {
    this.#clear();
    this.#shown = this.#run.answer;
    this.#news = new Set(this.#shown.inReadingOrder());
  }

  /** Show the run as it was after `step`; the run must have ended. */
  showUpTo(step) {
    if (step >= this.#run.answer.steps - 1) {
      if (this.#shown !== this.#run.answer) this.showAll();
      return;
    }
    const { events } = this.#run.answer;
    if (this.#shown === this.#run.answer || step < this.#shown.steps - 1) {
      if (this.#events.length !== events.length) this.#events = inStepOrder(events);
      this.#clear();
      this.#shown = new AnswerState();
    }
    for (let next = this.#shown.events.length; this.#events[next].step <= step; next += 1) {
      this.#news.add(this.#shown.add(this.#events[next]));
    }
  }

  draw(steps) {
    this.document.draw(this.#news);
    this.#news.clear();
    const whole = this.#shown === this.#run.answer;
    const open = isOpen(this.#run) || !whole;
    this.timeline.draw(this.#shown, steps, open);
    this.#count(whole ? this.#run : { ...makeRun(""), answer: this.#shown }, open);
    this.#explain(open);
    const none = this.#run.state === "failed" && this.#run.answer.events.length === 0;
    this.element.dataset.none = none;
    this.state.textContent = none ? "no answer" : STATES[this.#run.state];
    this.element.dataset.state = this.#run.state;
    this.element.dataset.open = open;
  }

  #clear() {
    this.document.clear();
    this.timeline.clear();
    this.#news.clear();
  }

  #count(run, open) {
    for (const [name, value, title] of counters(run, open)) {
      if (!this.#cells.has(name)) {
        this.#cells.set(name, make("dd", {}));
        this.figures.append(make("div", { title }, make("dt", {}, name), this.#cells.get(name)));
      }
      const cell = this.#cells.get(name);
      if (cell.textContent !== value) cell.textContent = value;
    }
  }

  #explain(open) {
    const told = open ? "" : whyNot(this.#run);
    this.why.hidden = !told;
    if (this.why.textContent !== told) this.why.textContent = told;
  }

  #save() {
    const file = new Blob([writeTrace(this.#run.answer.events)], { type: "application/jsonl" });
    const address = URL.createObjectURL(file);
    make("a", { href: address, download: `${this.#run.title.toLowerCase()}.jsonl` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }
}
