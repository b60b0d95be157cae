/** The figures of an answer, and what two of them say about each other. Seconds are those of a clock here. */

export const count = (number, noun) => `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;

export const whole = (number) => number.toLocaleString("en");

export const seconds = (value) => (value === null ? "–" : value.toFixed(value < 10 ? 2 : 1) + " s");

const known = (value, show) => (value === null || value === undefined ? "–" : show(value));

const share = ({ drafted, accepted }) => (drafted ? `${Math.round((100 * accepted) / drafted)} %` : "–");

const times = (one, other) => (one / other).toFixed(2);

/** Name, value and explanation of each counter. `run` is a run of `panel.js`; `open` if more of it comes. */
export function counters(run, open) {
  const { answer, metrics } = run;
  const rate = answer.steps ? (answer.tokens / answer.steps).toFixed(2) : "–";
  return [
    ["time", seconds(run.seconds), "since the question was sent"],
    ["first text", seconds(run.firstText), "until the first text that is in its final place"],
    ["steps", whole(answer.steps), "every live thread gives a token in a step"],
    ["tokens", whole(answer.tokens), "visible tokens"],
    ["tokens/step", rate, "what a step gives on average"],
    ["tokens/pass", known(metrics?.tokens_per_pass, (value) => value.toFixed(2)), "what a pass of the model gives"],
    ["drafts right", share(answer), "of the draft tokens that were verified for threads that have ended"],
    ["threads", (open ? `${answer.alive} / ` : "") + answer.threads.size, "being decoded now / in all"],
    ["forks", whole(answer.forks), "places where a detail began beside what follows it"],
    ["KV blocks", known(metrics?.kv_blocks_peak, whole), "the most blocks of the cache held at a time"],
  ];
}

/** Why an answer, or a part of it, was decoded by one thread; "" where there is nothing to say. */
export function whyNot({ answer, metrics }) {
  const reasons = [...answer.notForked].filter(([, leads]) => leads > 0).sort();
  if (reasons.length) {
    const leads = reasons.reduce((sum, [, number]) => sum + number, 0);
    const told = reasons.map(([reason, number]) => reason.replaceAll("_", " ") + (number > 1 ? ` ${number}` : ""));
    return `${count(leads, "lead")} did not fork: ${told.join(", ")}.`;
  }
  if (answer.forks) return "";
  if (metrics?.fork === "rules") return "There was no item of a list to fork at.";
  return metrics?.fork === "off" ? "Nothing forks here. By rules any model can: see the settings." : "";
}

/** One answer in a sentence. */
export function summary(run) {
  const { tokens, steps, threads } = run.answer;
  const parts = [count(tokens, "token"), count(steps, "step"), count(threads.size, "thread")];
  if (run.seconds !== null) parts.push(seconds(run.seconds));
  return parts.join(", ");
}

/** What the comparison of two complete answers says, and `who` was faster: parallel, sequential, or "" for neither. */
export function verdict(parallel, sequential) {
  const [fast, slow] = [parallel.seconds, sequential.seconds];
  const [few, many] = [parallel.answer.steps, sequential.answer.steps];
  if (![fast, slow, few, many].every((value) => value > 0)) return { who: "", text: "There is nothing to compare." };
  const ratio = Math.max(slow / fast, fast / slow);
  const who = ratio < 1.02 ? "" : fast < slow ? "parallel" : "sequential";
  const name = who === "parallel" ? "Parallel" : "Sequential";
  const clock = who ? `${name} was ${ratio.toFixed(2)} times as fast` : "It took the same time";
  const sentences = [
    `${clock}: ${seconds(fast)} in parallel, ${seconds(slow)} sequentially${queues(parallel, sequential)}.`,
    steps(few, many),
    ...cuts(parallel, sequential),
    ...lengths(parallel, sequential),
  ];
  return { who, text: sentences.join(" ") };
}

/** Whether the time is also that of others who were served first. */
function queues(parallel, sequential) {
  const waits = [parallel, sequential].map((run) => run.metrics?.queue_seconds ?? 0);
  const counts = waits.some((wait, k) => wait > 0.05 * [parallel, sequential][k].seconds);
  return counts ? ` (in the server's queue ${waits.map(seconds).join(" and ")} of it)` : "";
}

function steps(few, many) {
  if (few === many) return `Both took ${count(few, "step")}.`;
  const ratio = few < many ? `${times(many, few)} times fewer` : `${times(few, many)} times more`;
  return `${count(few, "step")} against ${whole(many)}, ${ratio}.`;
}

/** Which answers would have gone on. */
function cuts(parallel, sequential) {
  const cut = [parallel, sequential].filter((run) => run.state === "cut");
  if (cut.length === 2) return ["Both were cut by max. tokens."];
  return cut.map((run) => `${run === parallel ? "The parallel" : "The sequential"} answer was cut by max. tokens.`);
}

/** What has to be known to judge the clock: whether the model forked, and whether the answers are as long. */
function lengths(parallel, sequential) {
  if (!parallel.answer.forks) {
    const who = parallel.metrics?.fork === "rules" ? "Rules" : "The model";
    return [`${who} did not fork here, so both did the same work.`];
  }
  const [ours, theirs] = [parallel.answer.tokens, sequential.answer.tokens];
  if (Math.abs(ours - theirs) < 0.05 * Math.max(ours, theirs) || !ours || !theirs) return [];
  const [one, other] = [parallel.seconds / ours, sequential.seconds / theirs];
  const each = one <= other ? `parallel was ${times(other, one)}` : `sequential was ${times(one, other)}`;
  const lengths = `${whole(ours)} and ${whole(theirs)} tokens`;
  return [`The answers are not equally long (${lengths}); per token ${each} times as fast.`];
}
