/** The figures of an answer, and what two of them say about each other. Seconds are those of a clock here. */

export const count = (number, noun) => `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;

export const whole = (number) => number.toLocaleString("en");

export const seconds = (value) => (value === null ? "–" : value.toFixed(value < 10 ? 2 : 1) + " s");

const times = (one, other) => (one / other).toFixed(2);

/** Name, value and explanation of each counter. `run` is a run of `panel.js`. */
export function counters(run) {
  const { recording, metrics } = run;
  const rate = recording.steps ? (recording.tokens / recording.steps).toFixed(2) : "–";
  return [
    ["threads", `${recording.alive} / ${recording.threads.size}`, "being decoded now / in all"],
    ["forks", whole(recording.forks), "places where a detail began beside what follows it"],
    ["tokens", whole(recording.tokens), "visible tokens"],
    ["steps", whole(recording.steps), "every live thread gives a token in a step"],
    ["tokens/step", rate, "what a step gives on average"],
    ["time", seconds(run.seconds), "since the question was sent"],
    ["first text", seconds(run.firstText), "until the first text that is in its final place"],
    ["KV blocks", metrics ? whole(metrics.kv_blocks_peak) : "–", "the most blocks of the cache held at a time"],
  ];
}

/** One answer in a sentence. */
export function summary(run) {
  const { recording } = run;
  const parts = [count(recording.tokens, "token"), count(recording.steps, "step"), count(recording.threads.size, "thread")];
  return parts.join(", ") + (run.seconds === null ? "" : `, ${seconds(run.seconds)}`);
}

/** What the comparison of two complete answers says, the better one first, whoever it is; `who`: its title or "". */
export function verdict(parallel, sequential) {
  const [fast, slow] = [parallel.seconds, sequential.seconds];
  const [few, many] = [parallel.recording.steps, sequential.recording.steps];
  if (![fast, slow, few, many].every((value) => value > 0)) return { who: "", text: "There is nothing to compare." };
  const faster = fast <= slow;
  const ratio = faster ? slow / fast : fast / slow;
  const even = ratio < 1.02;
  const name = faster ? "Parallel" : "Sequential";
  const clock = even ? "Both took the same time" : `${name} was ${ratio.toFixed(2)} times as fast`;
  const text = `${clock}: ${seconds(fast)} in parallel, ${seconds(slow)} sequentially. ${steps(few, many)} ${lengths(parallel, sequential)}`;
  return { who: even ? "" : name.toLowerCase(), text: text.trim() };
}

function steps(few, many) {
  const ratio = few <= many ? `${times(many, few)} times fewer` : `${times(few, many)} times more`;
  return `${whole(few)} steps against ${whole(many)}${few === many ? "" : `, ${ratio}`}.`;
}

/** What has to be known to judge the clock: whether the model forked, and whether the answers are as long. */
function lengths(parallel, sequential) {
  if (!parallel.recording.forks) return "The model did not fork here, so both did the same work.";
  const [ours, theirs] = [parallel.recording.tokens, sequential.recording.tokens];
  if (Math.abs(ours - theirs) < 0.05 * Math.max(ours, theirs) || !ours || !theirs) return "";
  const [one, other] = [parallel.seconds / ours, sequential.seconds / theirs];
  const each = one <= other ? `parallel was ${times(other, one)}` : `sequential was ${times(one, other)}`;
  return `The answers are not equally long (${whole(ours)} and ${whole(theirs)} tokens); per token ${each} times as fast.`;
}
