/** Opening a trace file, chosen or dropped on the page. */

import { AnswerState } from "./answer-state.js";
import { byId } from "./dom.js";
import { makeRun } from "./panel.js";
import { readTrace } from "./trace.js";

const LARGEST = 64; // MiB

/** The entry that a trace file is; throws an Error that says what is wrong with it. */
export async function openTrace(file) {
  if (file.size > LARGEST * 2 ** 20) throw new Error(`${file.name} is larger than ${LARGEST} MiB: no trace is.`);
  const events = readTrace(await textOf(file), file.name);
  const run = { ...makeRun("Trace", "trace"), answer: new AnswerState() };
  for (const event of events) run.answer.add(event);
  return { question: file.name, runs: [run] };
}

async function textOf(file) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch (error) {
    const why = error instanceof TypeError ? "is not a trace: it is not UTF-8 text." : "cannot be read.";
    throw new Error(`${file.name} ${why}`);
  }
}

/** Call `open` with a file that is chosen by the button or dropped anywhere on the page. */
export function takeFiles(open) {
  const input = byId("file");
  byId("open").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length) open(input.files[0]);
    input.value = ""; // the same file can be chosen again
  });
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) document.body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    open(event.dataTransfer.files[0]);
  });
}
