/**
 * The threads of one answer, folded from its events. Every rule is that of `apar.assemble.Recording`, so that a broken
 * trace is refused here as it is there.
 */

const DEEPEST = 64; // levels of threads within threads that a page can show

/** A thread's id as people read it, `0.2.1`; also its key. */
export const keyOf = (path) => path.join(".");

export class AnswerState {
  threads = new Map(); // by key, in the order in which they started
  events = [];
  forks = 0;
  steps = 0;
  drafted = 0; // draft tokens that were verified for the threads that have ended
  accepted = 0; // those of them that were right
  notForked = new Map(); // leads behind which those threads did not fork, though rules looked: how many by each reason
  encoded = false; // whether the events carry token ids
  #ids = 0;
  #deltas = 0;

  /** Visible tokens. Events without ids are those of a tree that is not encoded: each delta counts as one. */
  get tokens() {
    return this.encoded ? this.#ids : this.#deltas;
  }

  /** Threads that are being decoded. */
  get alive() {
    let count = 0;
    for (const thread of this.threads.values()) count += thread.finished === null;
    return count;
  }

  /** Take one event in and return its thread; throws an Error that says why it cannot follow those before it. */
  add(event) {
    const thread = event.event === "started" ? this.#start(event) : this.#running(event);
    if (event.event === "delta") this.#write(thread, event);
    else if (event.event === "forked") this.#fork(thread, event);
    else if (event.event === "finished") this.#finish(thread, event);
    thread.last = event.step;
    this.steps = Math.max(this.steps, event.step + 1);
    this.events.push(event);
    return thread;
  }

  #start(event) {
    const key = keyOf(event.thread);
    if (this.threads.has(key)) throw new Error(`thread ${key} has started already`);
    if (event.thread.length > DEEPEST) throw new Error(`thread ${key} is deeper than ${DEEPEST} levels`);
    const parent = this.threads.get(keyOf(event.thread.slice(0, -1)));
    const index = event.thread.at(-1);
    if (event.thread.length === 1) {
      if (event.parent !== null) throw new Error("the root has no parent");
    } else if (!parent || event.parent === null || keyOf(event.parent) !== parent.key || !(index in parent.forks)) {
      throw new Error(`thread ${key} was never forked`);
    } else if (event.step <= parent.forks[index].step) {
      throw new Error(`thread ${key} starts before the step after its fork`);
    }
    const thread = {
      key, path: event.thread, number: this.threads.size, start: event.step, last: event.step,
      texts: [""], forks: [], finished: null, ids: 0, deltas: 0,
      drafted: 0, accepted: 0, fresh: true, lead: parent ? leadOf(parent.texts[index]) : "answer",
    };
    this.threads.set(key, thread);
    return thread;
  }

  #write(thread, event) {
    thread.texts[thread.texts.length - 1] += event.text;
    thread.ids += event.token_ids.length;
    thread.deltas += 1;
    thread.fresh = false;
    this.#ids += event.token_ids.length;
    this.#deltas += 1;
    this.encoded ||= event.token_ids.length > 0;
  }

  #fork(thread, event) {
    const next = keyOf([...thread.path, thread.forks.length]);
    if (keyOf(event.child) !== next) throw new Error(`thread ${thread.key} forks ${keyOf(event.child)}, not ${next}`);
    if (thread.fresh) throw new Error(`thread ${thread.key} forks without a token since its start or last fork`);
    thread.forks.push({ step: event.step, child: next });
    thread.texts.push("");
    thread.fresh = true;
    this.forks += 1;
  }

  #finish(thread, event) {
    thread.finished = event.reason;
    thread.drafted = event.drafted ?? 0;
    thread.accepted = event.accepted ?? 0;
    this.drafted += thread.drafted;
    this.accepted += thread.accepted;
    for (const [reason, leads] of Object.entries(event.not_forked ?? {})) {
      this.notForked.set(reason, (this.notForked.get(reason) ?? 0) + leads);
    }
  }

  #running(event) {
    const key = keyOf(event.thread);
    const thread = this.threads.get(key);
    if (!thread) throw new Error(`thread ${key} never started`);
    if (thread.finished !== null) throw new Error(`thread ${key} has finished already`);
    if (event.step < thread.last) throw new Error(`thread ${key} was heard of at step ${thread.last} already`);
    return thread;
  }

  /** The visible tokens that a thread sampled itself. */
  tokensOf(thread) {
    return this.encoded ? thread.ids : thread.deltas;
  }

  /** The threads in reading order: each before its children, and they in the order of their forks. */
  inReadingOrder() {
    const ordered = [];
    const stack = ["0"];
    while (stack.length) {
      const thread = this.threads.get(stack.pop());
      if (!thread) continue; // forked, but not started
      ordered.push(thread);
      stack.push(...thread.forks.map((fork) => fork.child).reverse());
    }
    return ordered;
  }
}

/** The lead that a thread carries out: the last line of the text before its fork. */
function leadOf(text) {
  const line = text.trim().split("\n").at(-1);
  return line.replaceAll("**", "").replace(/\s+/g, " ").replace(/:$/, "").slice(0, 200);
}
