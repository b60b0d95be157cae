/** The place where what went wrong is shown, with what can be done about it. */

import { byId, make } from "./dom.js";

export class ErrorPanel {
  #place = byId("problem");

  hide() {
    this.#place.hidden = true;
    this.#place.replaceChildren();
  }

  /** Show a Failure, or any Error; `again`, if given, is offered as "Try again". */
  show(failure, again = null) {
    const actions = again ? [button("Try again", again)] : [];
    this.#show(failure, ...actions, button("Close", () => this.hide()));
  }

  /** Show a Failure that a key may mend, and call `again` with the key that is typed in. */
  askForKey(failure, again) {
    const input = make("input", { type: "password", id: "key", autocomplete: "off", required: true });
    const submit = (event) => {
      event.preventDefault();
      again(input.value.trim());
    };
    const label = make("label", { for: "key" }, "API key");
    const form = make("form", { onsubmit: submit }, label, input, make("button", { class: "primary" }, "Use this key"));
    this.#show(failure, form, make("p", { class: "faint" }, "It is kept until this tab is closed."));
    input.focus();
  }

  /** Show a Failure that passes, and wait as long as it asks for, or until "Try now"; throws where `signal` does. */
  async wait(failure, signal) {
    const countdown = make("span", { "aria-hidden": "true" });
    let timer;
    try {
      await new Promise((resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        this.#show(failure, countdown, button("Try now", resolve));
        const end = Date.now() + 1000 * failure.wait;
        const count = () => {
          const left = Math.ceil((end - Date.now()) / 1000);
          if (left <= 0) return resolve();
          countdown.textContent = `Trying again in ${left} s`;
          return undefined;
        };
        timer = setInterval(count, 250);
        count();
      });
    } finally {
      clearInterval(timer);
      this.hide();
    }
  }

  #show(failure, ...actions) {
    const title = make("strong", {}, failure.title ?? "This did not work");
    this.#place.replaceChildren(title, make("p", {}, failure.message), make("div", { class: "actions" }, ...actions));
    this.#place.hidden = false;
  }
}

const button = (text, onclick) => make("button", { type: "button", onclick }, text);
