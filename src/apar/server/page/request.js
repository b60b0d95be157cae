/** Asking a question, in parallel and then, if wanted, sequentially; never both at the same time. */

import { ask, bodyOf, Failure, keepKey, readKey } from "./client.js";
import { byId } from "./dom.js";
import { summary, verdict } from "./figures.js";
import { garbled } from "./network-errors.js";
import { OneAtATime } from "./one-at-a-time.js";
import { makeRun } from "./panel.js";
import { checked } from "./trace.js";

export class Requests {
  #stop = null; // the AbortController of what is being asked

  constructor(view, errorPanel, speak) {
    Object.assign(this, { view, errorPanel, speak });
  }

  /** Ask `question` of `model`, and for the same answer with one thread at a time if `compare`. */
  async ask(question, settings, model, compare) {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const body = (sequential) => bodyOf(question, { seed, ...settings }, model, sequential);
    const entry = { question, runs: [], body };
    const again = () => this.ask(question, settings, model, compare);
    this.stop();
    this.view.show(entry);
    if ((await this.#askOnce(entry, "Parallel", false, again)) && compare) await this.compare(entry);
    return entry;
  }

  /** Ask for the same answer again, with one thread at a time. */
  async compare(entry) {
    this.stop();
    const again = () => {
      entry.runs.length = 1;
      this.view.show(entry);
      this.compare(entry);
    };
    if (await this.#askOnce(entry, "Sequential", true, again)) this.speak(verdict(...entry.runs).text);
  }

  /** Stop what is being asked; whether there was anything. */
  stop() {
    const stopped = this.#stop !== null;
    this.#stop?.abort();
    this.#stop = null;
    this.errorPanel.hide();
    return stopped;
  }

  /** Ask once; whether there is a whole answer. What goes wrong is shown, and `again` offered. */
  async #askOnce(entry, title, sequential, again) {
    const run = makeRun(title);
    const clock = sequential ? new OneAtATime() : null;
    const panel = this.view.add(run);
    const own = (this.#stop = new AbortController());
    this.speak(`${title}: asked`);
    busy(true);
    try {
      await this.#askUntilAccepted(panel, entry.body(sequential), own.signal, clock);
    } catch (error) {
      run.state = own.signal.aborted ? "stopped" : "failed";
      if (!own.signal.aborted) this.#report(error, again);
    }
    if (this.#stop === own) this.#stop = null;
    if (this.#stop === null) busy(false);
    if (this.view.entry === entry) this.view.rewind();
    this.speak(`${title}: ${run.state}. ${summary(run)}`);
    return run.state === "complete" || run.state === "cut";
  }

  /** Ask until the server takes the request, if it says when that may be. */
  async #askUntilAccepted(panel, body, signal, clock) {
    for (;;) {
      try {
        await this.#read(panel, body, signal, clock);
        return;
      } catch (error) {
        if (!(error instanceof Failure) || error.wait === null) throw error;
        await this.errorPanel.wait(error, signal);
      }
    }
  }

  async #read(panel, body, signal, clock) {
    const { run } = panel;
    const start = performance.now();
    const timer = setInterval(() => (run.seconds = since(start)), 100);
    try {
      for await (const chunk of ask(body, readKey(), signal)) {
        run.state = "decoding";
        takeIn(panel, chunk, start, clock);
        this.view.changed();
      }
      run.state = run.reason === "length" ? "cut" : "complete";
    } finally {
      clearInterval(timer);
      run.seconds = run.answer.events.length ? since(start) : null;
    }
  }

  #report(error, again) {
    if (!(error instanceof Failure)) console.error(error);
    if (error.key) this.errorPanel.askForKey(error, (key) => (keepKey(key), again()));
    else this.errorPanel.show(error, again);
  }
}

const since = (start) => (performance.now() - start) / 1000;

function busy(is) {
  byId("stop").hidden = !is;
  byId("send").disabled = is;
}

/** Take one chunk of an answer into its run; `clock` tells its steps where threads are decoded one at a time. */
function takeIn(panel, chunk, start, clock) {
  const { run } = panel;
  const [choice] = chunk.choices ?? [];
  for (const event of chunk.apar?.events ?? []) addTo(panel, event, clock);
  if (run.firstText === null && choice?.delta?.content) run.firstText = since(start);
  if (choice?.finish_reason) run.reason = choice.finish_reason;
  run.metrics = chunk.metrics?.parallel ?? run.metrics;
}

function addTo(panel, event, clock) {
  try {
    const known = checked(event);
    panel.add(clock?.retimed(known) ?? known);
  } catch (error) {
    console.error(error);
    throw garbled();
  }
}
