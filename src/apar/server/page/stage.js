/** What is shown of one question: a panel for each of its answers, their verdict, and the controls of a replay. */

import { byId, perFrame } from "./dom.js";
import { verdict } from "./figures.js";
import { isOpen, Panel } from "./panel.js";
import { Player } from "./player.js";

export class Stage {
  #entry = null; // {question, runs, ...}
  #panels = [];
  #player = new Player(0);
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
    const last = Math.max(0, ...this.#entry.runs.map((run) => run.recording.steps - 1));
    const { speed } = this.#player;
    this.#player = new Player(last);
    this.#player.speed = speed;
    byId("position").max = last;
    for (const panel of this.#panels) panel.showAll();
    this.changed();
  }

  /** Stop a replay where it is; whether there was one. */
  pause() {
    const { playing } = this.#player;
    this.#player.pause();
    this.changed();
    return playing;
  }

  play() {
    this.#player.play();
    this.#then = performance.now();
    this.changed();
  }

  #toggle() {
    if (!this.pause()) this.play();
  }

  #seek(step) {
    this.#player.seek(step);
    this.changed();
  }

  #setSpeed(speed) {
    this.#player.speed = Math.round(speed);
    byId("speed-told").textContent = `${this.#player.speed} steps/s`;
    byId("speed").setAttribute("aria-valuetext", `${this.#player.speed} steps per second`);
  }

  #draw() {
    if (!this.#entry) return;
    const open = this.#entry.runs.some(isOpen);
    if (!open) this.#replay();
    const steps = Math.max(1, ...this.#panels.map((panel) => panel.steps));
    for (const panel of this.#panels) panel.draw(steps);
    this.#judge(open);
    byId("replay").hidden = open || !this.#entry.runs.some((run) => run.recording.events.length);
    byId("compare").hidden = open || !canCompare(this.#entry);
    if (open || this.#player.playing) this.changed();
  }

  #replay() {
    const now = performance.now();
    this.#player.advance(now - this.#then);
    this.#then = now;
    for (const panel of this.#panels) panel.showUpTo(this.#player.step);
    const step = Math.max(this.#player.step, -1);
    byId("position").value = step;
    byId("position").setAttribute("aria-valuetext", `step ${step + 1} of ${this.#player.last + 1}`);
    byId("position-told").textContent = `step ${step + 1} of ${this.#player.last + 1}`;
    byId("play").textContent = this.#player.playing ? "Pause" : step < this.#player.last ? "Play" : "Replay";
  }

  #judge(open) {
    const [one, other] = this.#entry.runs;
    const place = byId("verdict");
    place.hidden = open || !isWhole(one) || !isWhole(other);
    if (place.hidden || place.entry === this.#entry) return;
    place.entry = this.#entry;
    const { who, text } = verdict(one, other);
    place.dataset.who = who;
    place.textContent = text;
  }
}

const isWhole = (run) => run?.state === "complete" || run?.state === "cut";

/** Whether the same question can be asked again without forks. */
const canCompare = (entry) => entry.body !== undefined && entry.runs.length === 1 && isWhole(entry.runs[0]);
