/** Trace files: one event a line, as `apar generate --trace` writes them. */

import { AnswerState } from "./answer-state.js";

const MOST_STEPS = 10_000_000;

const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const areCounts = (value) => Array.isArray(value) && value.every(isCount);
const isPath = (value) => areCounts(value) && value[0] === 0;
const isStep = (value) => isCount(value) && value < MOST_STEPS;
const isText = (value) => typeof value === "string";
const isReason = (value) => ["eos", "stop", "length", "cancelled", "repeated"].includes(value);
const areReasons = (value) =>
  value !== null && typeof value === "object" && !Array.isArray(value) && Object.values(value).every(isCount);
const isParent = (value) => value === null || isPath(value);

const KINDS = {
  started: { thread: isPath, parent: isParent, step: isStep },
  delta: { thread: isPath, step: isStep, token_ids: areCounts, text: isText },
  forked: { thread: isPath, child: isPath, step: isStep },
  finished: { thread: isPath, step: isStep, reason: isReason },
};

// Keys that are left out where there is nothing in them.
const OPTIONAL = { finished: { drafted: isCount, accepted: isCount, not_forked: areReasons } };

/** The event with the known keys of its kind only; throws an Error that says what is wrong. */
export function checked(event) {
  const name = event !== null && typeof event === "object" ? event.event : null;
  if (!Object.hasOwn(KINDS, name)) throw new Error("it is no event");
  const kept = { event: name };
  for (const [key, isRight] of Object.entries(KINDS[name])) {
    if (!isRight(event[key])) throw new Error(`"${key}" of a ${name} event is missing or wrong`);
    kept[key] = event[key];
  }
  for (const [key, isRight] of Object.entries(OPTIONAL[name] ?? {})) {
    if (!Object.hasOwn(event, key)) continue;
    if (!isRight(event[key])) throw new Error(`"${key}" of a ${name} event is wrong`);
    kept[key] = event[key];
  }
  return kept;
}

/** The events of a trace; throws an Error that names the first line that is wrong. */
export function readTrace(text, name) {
  const lines = text.replace(/^\ufeff/, "").split("\n");
  if (lines.at(-1) === "") lines.pop();
  const answer = new AnswerState();
  lines.forEach((line, index) => {
    try {
      answer.add(checked(parsed(line)));
    } catch (error) {
      throw new Error(`${name}, line ${index + 1}: ${error.message}. A trace is what apar generate --trace writes.`);
    }
  });
  if (!answer.events.length) throw new Error(`${name} is empty: a trace has an event on every line.`);
  return answer.events;
}

function parsed(line) {
  try {
    return JSON.parse(line);
  } catch {
    throw new Error("it is not JSON");
  }
}

/** The text of a trace file. */
export const writeTrace = (events) => events.map((event) => JSON.stringify(event) + "\n").join("");

/** The events in the order of their steps; within a step, and so within a thread, their order stays. */
export const inStepOrder = (events) => [...events].sort((one, other) => one.step - other.step);
