/** The questions of this visit, which can be shown again. */

import { byId, make } from "./dom.js";
import { summary } from "./figures.js";

const MOST = 30; // each holds all of its events

export class History {
  #entries = new WeakSet();

  /** `show` is called with the entry that is chosen. */
  constructor(show) {
    this.show = show;
  }

  /** Take in an entry that has been asked or opened. */
  add(entry) {
    if (this.#entries.has(entry) || !entry.runs.some((run) => run.answer.events.length)) return;
    this.#entries.add(entry);
    const about = make("small", {}, summary(entry.runs[0]));
    const attributes = { type: "button", onclick: () => this.show(entry) };
    const button = make("button", attributes, make("span", {}, entry.question), about);
    const list = byId("past-list");
    list.prepend(make("li", {}, button));
    if (list.children.length > MOST) list.lastElementChild.remove();
    byId("past").hidden = false;
  }
}
