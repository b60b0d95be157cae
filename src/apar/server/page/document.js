/** The answer as a document: each thread's text in its own element, and that at the place of its fork. */

import { make } from "./dom.js";
import { hueOf } from "./timeline.js";

export class AnswerDocument {
  #places = new Map(); // by thread: its element, and how far it has been written

  constructor(label) {
    this.element = make("div", { class: "document", role: "region", "aria-label": label, tabindex: "0", dir: "auto" });
    this.clear();
  }

  clear() {
    this.#places.clear();
    this.element.replaceChildren();
  }

  /** The element of a thread; undefined if it has not been drawn yet. */
  elementOf(key) {
    return this.#places.get(key)?.element;
  }

  /** Write what is new of `threads`. What is written already is left alone, so the cost is that of the news. */
  draw(threads) {
    for (const thread of threads) this.#draw(thread);
  }

  #draw(thread) {
    const place = this.#place(thread);
    for (;;) {
      this.#write(place, thread.texts[place.node]);
      if (place.node === thread.forks.length) break;
      this.#open(thread.forks[place.node].child, place.element);
      Object.assign(place, { node: place.node + 1, written: 0, text: null });
    }
    place.element.classList.toggle("live", thread.finished === null);
  }

  /** Make the place of a thread at the end of `parent`. Until the thread starts, nothing of it is seen. */
  #open(key, parent) {
    const element = make("span", { class: "thread forked", "data-thread": key });
    const place = { element, node: 0, written: 0, text: null };
    this.#places.set(key, place);
    parent.append(place.element);
    return place;
  }

  #place(thread) {
    const place = this.#places.get(thread.key) ?? this.#open(thread.key, this.element);
    if (!place.named) {
      place.named = true;
      place.element.classList.remove("forked");
      if (thread.path.length > 1) name(place.element, thread);
    }
    return place;
  }

  #write(place, text) {
    if (text.length === place.written) return;
    const news = text.slice(place.written);
    if (place.text) place.text.appendData(news);
    else place.element.append((place.text = document.createTextNode(news)));
    place.written = text.length;
  }
}

function name(element, thread) {
  element.style.setProperty("--hue", hueOf(thread.number));
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", `detail, thread ${thread.key}`);
  element.setAttribute("tabindex", "-1");
}
