/** The page: what its controls do. */

import { byId } from "./dom.js";
import { ErrorPanel } from "./error-panel.js";
import { History } from "./history.js";
import { openTrace, takeFiles } from "./open-trace.js";
import { Requests } from "./request.js";
import { modelName, watchServer } from "./status.js";
import { View } from "./view.js";

const SETTINGS = ["max_tokens", "temperature", "seed", "max_items", "max_threads", "max_depth"];

const speak = (text) => (byId("spoken").textContent = text);

const view = new View();
const errorPanel = new ErrorPanel();
const requests = new Requests(view, errorPanel, speak);
const history = new History((entry) => {
  requests.stop();
  view.show(entry);
});
const form = byId("ask");

async function submit() {
  const question = readQuestion();
  if (!question) return byId("text").focus();
  if (!checkSettings(form)) return undefined;
  const settings = readSettings();
  try {
    return history.add(await requests.ask(question, settings, await modelName(), byId("also").checked));
  } catch (failure) {
    return errorPanel.show(failure, submit);
  }
}

async function open(file) {
  requests.stop();
  try {
    const entry = await openTrace(file);
    view.show(entry);
    history.add(entry);
    view.play();
    speak(`${file.name} is open and plays`);
  } catch (error) {
    errorPanel.show(error);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
byId("stop").addEventListener("click", () => requests.stop());
byId("compare").addEventListener("click", () => requests.compare(view.entry));
for (const example of document.querySelectorAll("#start button")) {
  example.addEventListener("click", () => {
    byId("text").value = example.textContent;
    form.requestSubmit();
  });
}
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !requests.stop()) view.pause();
});
sendOnEnter(form);
takeFiles(open);
watchServer();

/** The question as it was typed; "" if there is none but white space. */
function readQuestion() {
  const { value } = byId("text");
  return value.trim() ? value : "";
}

/** The settings that are given. */
function readSettings() {
  const given = SETTINGS.map((name) => [name, byId(name).valueAsNumber]).filter(([, value]) => !Number.isNaN(value));
  const fork = byId("fork").value;
  return { ...Object.fromEntries(given), ...(fork ? { fork } : {}) };
}

/** Whether all settings are legal; if not, the browser shows which one is not and why. */
function checkSettings(form) {
  if (form.checkValidity()) return true;
  byId("settings").open = true; // what is closed cannot be pointed at
  return form.reportValidity();
}

/** Enter sends, with Ctrl too; with Shift it is a line end, and while a word is being composed it belongs to that. */
function sendOnEnter(form) {
  byId("text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
}
