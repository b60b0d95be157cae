/** The page: what its controls do. */

import { Asking } from "./asking.js";
import { byId } from "./dom.js";
import { checkSettings, readQuestion, readSettings, sendOnEnter } from "./form.js";
import { openTrace, takeFiles } from "./opening.js";
import { Past } from "./past.js";
import { Problem } from "./problem.js";
import { Stage } from "./stage.js";
import { modelName, watchServer } from "./status.js";

const speak = (text) => (byId("spoken").textContent = text);

const stage = new Stage();
const problem = new Problem();
const asking = new Asking(stage, problem, speak);
const past = new Past((entry) => {
  asking.stop();
  stage.show(entry);
});
const form = byId("ask");

async function submit() {
  const question = readQuestion();
  if (!question) return byId("text").focus();
  if (!checkSettings(form)) return undefined;
  const settings = readSettings();
  try {
    return past.add(await asking.ask(question, settings, await modelName(), byId("also").checked));
  } catch (failure) {
    return problem.show(failure, submit);
  }
}

async function open(file) {
  asking.stop();
  try {
    const entry = await openTrace(file);
    stage.show(entry);
    past.add(entry);
    stage.play();
    speak(`${file.name} is open and plays`);
  } catch (error) {
    problem.show(error);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
byId("stop").addEventListener("click", () => asking.stop());
byId("compare").addEventListener("click", () => asking.compare(stage.entry));
for (const example of document.querySelectorAll("#start button")) {
  example.addEventListener("click", () => {
    byId("text").value = example.textContent;
    form.requestSubmit();
  });
}
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !asking.stop()) stage.pause();
});
sendOnEnter(form);
takeFiles(open);
watchServer();
