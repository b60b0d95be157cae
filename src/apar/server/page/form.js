/** The form: a question and its settings. */

import { byId } from "./dom.js";

const SETTINGS = ["max_tokens", "temperature", "seed", "max_threads", "max_depth"];

/** The question as it was typed; "" if there is none but white space. */
export function readQuestion() {
  const { value } = byId("text");
  return value.trim() ? value : "";
}

/** The settings that are given. */
export function readSettings() {
  const given = SETTINGS.map((name) => [name, byId(name).valueAsNumber]).filter(([, value]) => !Number.isNaN(value));
  return Object.fromEntries(given);
}

/** Whether all settings are legal; if not, the browser shows which one is not and why. */
export function checkSettings(form) {
  if (form.checkValidity()) return true;
  byId("settings").open = true; // what is closed cannot be pointed at
  return form.reportValidity();
}

/** Enter sends, with Ctrl too; with Shift it is a line end, and while a word is being composed it belongs to that. */
export function sendOnEnter(form) {
  byId("text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
}
