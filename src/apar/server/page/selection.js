/**
 * Showing a thread in both views of a panel at once: pointing at it or focusing it in one marks it in the other.
 * Arrow keys walk through the threads, Enter or a click leads to the same thread in the other view.
 */

const FORWARD = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };

/** `views`: two objects with `element` and `elementOf(key)`; `order()`: the keys of the threads in reading order. */
export function linkSelection(views, order) {
  const [text, timeline] = views;
  let marked = null;
  const mark = (key) => {
    if (key === marked) return;
    for (const view of views) {
      if (marked !== null) view.elementOf(marked)?.classList.remove("chosen");
      if (key !== null) view.elementOf(key)?.classList.add("chosen");
    }
    marked = key;
  };
  for (const view of views) {
    view.element.addEventListener("pointerover", (event) => mark(keyAt(event.target)));
    view.element.addEventListener("pointerleave", () => mark(keyAt(document.activeElement)));
    view.element.addEventListener("focusin", (event) => mark(keyAt(event.target)));
    view.element.addEventListener("focusout", () => mark(null));
  }
  timeline.element.addEventListener("click", (event) => focus(text, keyAt(event.target)));
  text.element.addEventListener("click", (event) => {
    // Who points into the text reads there: only the key leads away.
    if (getSelection().isCollapsed) focus(timeline, keyAt(event.target), { preventScroll: event.detail > 0 });
  });
  text.element.addEventListener("keydown", (event) => walk(event, text, order(), ["ArrowRight", "ArrowLeft"]));
  timeline.element.addEventListener("keydown", (event) => walk(event, timeline, order(), ["ArrowDown", "ArrowUp"]));
}

const keyAt = (element) => element?.closest?.("[data-thread]")?.dataset.thread ?? null;

function focus(view, key, how) {
  const element = key === null ? null : view.elementOf(key);
  if (element?.hasAttribute("tabindex")) element.focus(how);
}

function walk(event, view, keys, used) {
  const key = keyAt(event.target);
  if (event.key === "Enter" && key !== null && event.target.tagName !== "BUTTON") {
    event.preventDefault(); // or it would press the button that gets the focus
    event.target.click();
  }
  if (!used.includes(event.key) || !keys.length) return;
  event.preventDefault();
  const from = key === null ? (FORWARD[event.key] > 0 ? 0 : 1) : keys.indexOf(key);
  const to = view.elementOf(keys[Math.min(Math.max(from + FORWARD[event.key], 0), keys.length - 1)]);
  if (!to?.hasAttribute("tabindex")) return;
  if (to.tagName === "BUTTON") {
    view.elementOf(key)?.setAttribute("tabindex", "-1");
    to.setAttribute("tabindex", "0");
  }
  to.focus();
}
