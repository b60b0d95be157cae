/**
 * The steps of an answer that is decoded with one thread at a time: the server numbers the logical steps, in which
 * every live thread gives a token, and here each of those tokens took a step of its own.
 */

import { keyOf } from "./answer-state.js";

export class OneAtATime {
  #step = -1;
  #last = ""; // the thread and the logical step that were heard of last

  /** The event at the step in which its thread was decoded. Events are told in the order of decoding. */
  retimed(event) {
    const turn = `${keyOf(event.thread)} ${event.step}`;
    if (turn !== this.#last) this.#step += 1;
    this.#last = turn;
    return { ...event, step: this.#step };
  }
}
