/** What is shown of one question: a panel for each of its answers, their verdict, and the controls of a replay. */

import { byId, perFrame } from "./dom.js";
import { verdict } from "./figures.js";
import { isOpen, Panel } from "./panel.js";
import { Playback } from "./playback.js";

export class View {
  #entry = null; // {question, runs, ...}
  #panels = [];
  #playback = new Playback(0);
  #then = 0; // when the replay was last advanced
  /** Draw in the next frame. */
  changed = perFrame(() => this.#draw());

  constructor() {
    byId("play").addEventListener("click", () => this.#toggle());
    byId("position").addEventListener("input", (event) => this.#seek(Number(event.target.value)));
    byId("speed").addEventListener("input", (event) => this.#setSpeed(2 ** Number(event.target.value)));
    this.#setSpeed(2 ** Number(byId("speed").value));
  }

  get entry() {
    return this.#entry;
  }

  /** Show a question with the answers it has so far. */
  show(entry) {
    this.#entry = entry;
    this.#panels = [];
    byId("panels").replaceChildren();
    byId("question").textContent = entry.question;
    byId("start").hidden = true;
    byId("result").hidden = false;
    for (const run of entry.runs) this.#open(run);
    this.rewind();
  }

  /** Add an answer to the question that is shown, and return its panel. */
  add(run) {
    this.#entry.runs.push(run);
    this.rewind();
    return this.#open(run);
  }

  #open(run) {
    const panel = new Panel(run, this.changed);
    this.#panels.push(panel);
    byId("panels").append(panel.element);
    byId("panels").dataset.count = this.#panels.length;
    this.changed();
    return panel;
  }

  /** Show everything there is, from where a replay can start. */
  rewind() {
    const last = Math.max(0, ...this.#entry.runs.map((run) => run.answer.steps - 1));
    const { speed } = this.#playback;
    this.#playback = new Playback(last);
    this.#playback.speed = speed;
    byId("position").max = last;
    for (const panel of this.#panels) panel.showAll();
    this.changed();
  }

  /** Stop a replay where it is; whether there was one. */
  pause() {
    const { playing } = this.#playback;
    this.#playback.pause();
    this.changed();
    return playing;
  }

  play() {
    this.#playback.play();
    this.#then = performance.now();
    this.changed();
  }

  #toggle() {
    if (!this.pause()) this.play();
  }

  #seek(step) {
    this.#playback.seek(step);
    this.changed();
  }

  #setSpeed(speed) {
    this.#playback.speed = Math.round(speed);
    byId("speed-told").textContent = `${this.#playback.speed} steps/s`;
    byId("speed").setAttribute("aria-valuetext", `${this.#playback.speed} steps per second`);
  }

  #draw() {
    if (!this.#entry) return;
    const open = this.#entry.runs.some(isOpen);
    if (!open) this.#replay();
    const steps = Math.max(1, ...this.#panels.map((panel) => panel.steps));
    for (const panel of this.#panels) panel.draw(steps);
    this.#judge(open);
    byId("replay").hidden = open || !this.#entry.runs.some((run) => run.answer.events.length);
    byId("compare").hidden = open || !canCompare(this.#entry);
    if (open || this.#playback.playing) this.changed();
  }

  #replay() {
    const now = performance.now();
    this.#playback.advance(now - this.#then);
    this.#then = now;
    for (const panel of this.#panels) panel.showUpTo(this.#playback.step);
    const step = Math.max(this.#playback.step, -1);
    byId("position").value = step;
    byId("position").setAttribute("aria-valuetext", `step ${step + 1} of ${this.#playback.last + 1}`);
    byId("position-told").textContent = `step ${step + 1} of ${this.#playback.last + 1}`;
    byId("play").textContent = this.#playback.playing ? "Pause" : step < this.#playback.last ? "Play" : "Replay";
  }

  #judge(open) {
    const [first, second] = this.#entry.runs;
    const place = byId("verdict");
    place.hidden = open || !isWhole(first) || !isWhole(second);
    if (place.hidden || place.entry === this.#entry) return;
    place.entry = this.#entry;
    const { who, text } = verdict(first, second);
    place.dataset.who = who;
    place.textContent = text;
  }
}

const isWhole = (run) => run?.state === "complete" || run?.state === "cut";

/** Whether the same question can be asked again with one thread at a time. */
const canCompare = (entry) => entry.body !== undefined && entry.runs.length === 1 && isWhole(entry.runs[0]);
