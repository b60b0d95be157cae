/** Asking a question, in parallel and then, if wanted, sequentially; never both at the same time. */

import { ask, bodyOf, Failure } from "./client.js";
import { byId } from "./dom.js";
import { garbled } from "./failures.js";
import { summary, verdict } from "./figures.js";
import { keepKey, readKey } from "./key.js";
import { makeRun } from "./panel.js";
import { checked } from "./trace.js";

export class Asking {
  #stop = null; // the AbortController of what is being asked

  constructor(stage, problem, speak) {
    Object.assign(this, { stage, problem, speak });
  }

  /** Ask `question` of `model`, and again without forks if `compare`. */
  async ask(question, settings, model, compare) {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const entry = { question, runs: [], body: (fork) => bodyOf(question, { seed, ...settings }, model, fork) };
    const again = () => this.ask(question, settings, model, compare);
    this.stop();
    this.stage.show(entry);
    if ((await this.#one(entry, "Parallel", true, again)) && compare) await this.compare(entry);
    return entry;
  }

  /** Ask the question of an entry again, without forks. */
  async compare(entry) {
    this.stop();
    const again = () => {
      entry.runs.length = 1;
      this.stage.show(entry);
      this.compare(entry);
    };
    if (await this.#one(entry, "Sequential", false, again)) this.speak(verdict(...entry.runs).text);
  }

  /** Stop what is being asked; whether there was anything. */
  stop() {
    const stopped = this.#stop !== null;
    this.#stop?.abort();
    this.#stop = null;
    this.problem.hide();
    return stopped;
  }

  /** Ask once; whether there is a whole answer. What goes wrong is shown, and `again` offered. */
  async #one(entry, title, fork, again) {
    const run = makeRun(title);
    const panel = this.stage.add(run);
    const own = (this.#stop = new AbortController());
    this.speak(`${title}: asked`);
    busy(true);
    try {
      await this.#patiently(panel, entry.body(fork), own.signal);
    } catch (error) {
      run.state = own.signal.aborted ? "stopped" : "failed";
      if (!own.signal.aborted) this.#tell(error, again);
    }
    if (this.#stop === own) this.#stop = null;
    if (this.#stop === null) busy(false);
    if (this.stage.entry === entry) this.stage.rewind();
    this.speak(`${title}: ${run.state}. ${summary(run)}`);
    return run.state === "complete" || run.state === "cut";
  }

  /** Ask until the server takes the request, if it says when that may be. */
  async #patiently(panel, body, signal) {
    for (;;) {
      try {
        await this.#read(panel, body, signal);
        return;
      } catch (error) {
        if (!(error instanceof Failure) || error.wait === null) throw error;
        await this.problem.wait(error, signal);
      }
    }
  }

  async #read(panel, body, signal) {
    const { run } = panel;
    const start = performance.now();
    const clock = setInterval(() => (run.seconds = since(start)), 100);
    try {
      for await (const chunk of ask(body, readKey(), signal)) {
        run.state = "decoding";
        takeIn(panel, chunk, start);
        this.stage.changed();
      }
      run.state = run.reason === "length" ? "cut" : "complete";
    } finally {
      clearInterval(clock);
      run.seconds = run.recording.events.length ? since(start) : null;
    }
  }

  #tell(error, again) {
    if (!(error instanceof Failure)) console.error(error);
    if (error.key) this.problem.askForKey(error, (key) => (keepKey(key), again()));
    else this.problem.show(error, again);
  }
}

const since = (start) => (performance.now() - start) / 1000;

function busy(is) {
  byId("stop").hidden = !is;
  byId("send").disabled = is;
}

/** Take one chunk of an answer into its run. */
function takeIn(panel, chunk, start) {
  const { run } = panel;
  const [choice] = chunk.choices ?? [];
  for (const event of chunk.apar?.events ?? []) addTo(panel, event);
  if (run.firstText === null && choice?.delta?.content) run.firstText = since(start);
  if (choice?.finish_reason) run.reason = choice.finish_reason;
  run.metrics = chunk.metrics?.parallel ?? run.metrics;
}

function addTo(panel, event) {
  try {
    panel.add(checked(event));
  } catch (error) {
    console.error(error);
    throw garbled();
  }
}
