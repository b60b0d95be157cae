/** Everything about one answer, put into `place`. */
function showAnswer(place, answer) {
  const verdict = answer.reason ? words(answer.rule) + ": " + words(answer.reason) : words(answer.rule);
  const facts = [answer.source, answer.model, answer.language].filter(Boolean).join(" · ");
  place.replaceChildren(
    make("h2", {}, answer.id, " ", make("span", { class: "verdict" }, verdict)),
    make("p", { class: "facts" }, facts),
    figures(answer.figures),
    messages(answer.messages),
    section("Answer in reading order", legend(answer), reading(answer)),
    section("Threads over steps", timeline(answer)),
    section("Attention mask", mask(answer)),
  );
}

function section(title, ...children) {
  return make("section", {}, make("h3", {}, title), ...children);
}

function figures(all) {
  const shown = [
    ["ideal speed-up", times(all.ideal_speedup)],
    ["tokens", whole(all.tokens)],
    ["threads", whole(all.threads)],
    ["at once", whole(all.peak_threads)],
    ["depth", whole(all.depth)],
    ["critical path", whole(all.critical_path) + " steps"],
    ["attended", times(ratio(all.attended_forked, all.attended_sequential))],
    ["KV-token-steps", times(ratio(all.kv_token_steps_forked, all.kv_token_steps_sequential))],
  ];
  return make("dl", { class: "figures" }, ...shown.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function messages(all) {
  const turns = all.map((one) => make("div", { class: "turn" }, make("b", {}, one.role), make("p", {}, one.content)));
  return make("details", { open: all.length === 1 }, make("summary", {}, all.length === 1 ? "Question" : all.length + " messages before it"), ...turns);
}

function legend(answer) {
  const signs = [];
  if (answer.threads.length > 1) {
    signs.push(make("span", { class: "lead" }, "lead"), make("span", { class: "fork" }, "fork"), " detail: set in, coloured by thread ");
  }
  const counts = {};
  for (const reason of answer.refusals) counts[reason] = (counts[reason] || 0) + 1;
  for (const [reason, count] of Object.entries(counts)) {
    signs.push(make("span", { class: "refusal" }, words(reason)), " refused" + (count > 1 ? " " + count + " times " : " "));
  }
  return signs.length ? make("p", { class: "legend" }, ...signs) : "";
}

/** The text, each detail a block within the block of the thread that forks it. */
function reading(answer) {
  const blocks = [make("div", { class: "thread", hue: hueOf(0), "data-thread": 0 })];
  let fresh = true; // a block begins or has just ended: it stands for one line break
  for (const node of answer.nodes) {
    const block = blocks[node.thread];
    const lead = node.child === null ? Infinity : leadStart(node);
    let at = 0;
    for (const [piece, reasons, refused] of node.pieces) {
      for (const reason of reasons) block.append(make("span", { class: "refusal" }, words(reason)), " ");
      const cut = Math.min(Math.max(lead - at, 0), piece.length);
      const before = fresh ? piece.slice(0, cut).replace(/^\r?\n/, "") : piece.slice(0, cut);
      block.append(textSpan(before, false, refused), textSpan(piece.slice(cut), true, refused));
      at += piece.length;
      fresh = false;
    }
    if (node.child !== null) {
      const path = answer.threads[node.child].path;
      const opened = make("div", { class: "thread", hue: hueOf(node.child), "data-thread": node.child, role: "group", "aria-label": "detail, thread " + path });
      blocks[node.child] = opened;
      block.append(make("span", { class: "fork" }, path), opened);
    }
    fresh = node.child !== null || block !== blocks[0];
  }
  return make("div", { class: "reading", dir: "auto", lang: answer.language }, blocks[0]);
}

const textSpan = (text, lead, refused) => (text ? make("span", { class: (lead ? "lead " : "") + (refused ? "refused" : "") }, text) : "");

const nodeText = (node) => node.pieces.map((piece) => piece[0]).join("");

/** Where the last line of a node that forks begins: its lead. */
const leadStart = (node) => nodeText(node).trimEnd().lastIndexOf("\n") + 1;

/** The lead that a thread carries out. */
function leadOf(answer, thread) {
  const node = answer.nodes.find((one) => one.child === thread);
  return node ? nodeText(node).slice(leadStart(node)).trim() : "answer";
}

/** The tree of threads, and when each decodes: one row a thread, a mark where it forks. */
function timeline(answer) {
  const steps = answer.figures.critical_path;
  const share = (step) => (100 * step) / steps + "%";
  const order = [...new Set(answer.nodes.map((node) => node.thread))];
  const rows = order.map((number) => {
    const thread = answer.threads[number];
    const bar = make("span", { class: "span" });
    bar.style.left = share(thread.start);
    bar.style.width = share(thread.end + 1 - thread.start);
    const track = make("span", { class: "track", "aria-hidden": "true" }, bar);
    for (const node of answer.nodes.filter((one) => one.thread === number && one.child !== null)) {
      const mark = make("span", { class: "mark" });
      mark.style.left = share(node.step + node.tokens + 0.5);
      track.append(mark);
    }
    const label = make("span", { class: "label" }, make("b", {}, thread.path), " ", leadOf(answer, number));
    label.style.setProperty("--depth", Math.min(thread.path.split(".").length - 1, 8));
    const told = "steps " + thread.start + " to " + thread.end;
    const pick = () => highlight(number);
    return make("li", {}, make("button", { type: "button", class: "row", hue: hueOf(number), "data-thread": number, "aria-pressed": "false", title: told, onclick: pick },
      label, track, make("span", { class: "steps" }, thread.start + "–" + thread.end)));
  });
  return make("ol", { class: "timeline" }, ...rows);
}

/** Mark a thread wherever it is shown, or no thread if it is marked already. */
function highlight(thread) {
  const row = document.querySelector(`.row[data-thread="${thread}"]`);
  const on = row.getAttribute("aria-pressed") !== "true";
  for (const one of document.querySelectorAll("#answer [data-thread]")) {
    const chosen = on && one.dataset.thread === String(thread);
    one.classList.toggle("chosen", chosen);
    if (one.classList.contains("row")) one.setAttribute("aria-pressed", String(chosen));
  }
}

/** Which token (row) attends to which (column), control tokens included: token i to j if j <= i < end of j's thread. */
function mask(answer) {
  const last = answer.nodes[answer.nodes.length - 1];
  const size = last.at + last.size;
  const shapes = answer.nodes.map((node) => {
    const [from, to, end] = [node.at, node.at + node.size, answer.threads[node.thread].seen_until];
    const title = "thread " + answer.threads[node.thread].path + ": tokens " + from + " to " + (to - 1) + ", seen up to token " + (end - 1);
    const points = [[from, from], [to, to], [to, end], [from, end]].map((point) => point.join(",")).join(" ");
    return draw("polygon", { points, hue: hueOf(node.thread), "data-thread": node.thread }, draw("title", {}, title));
  });
  const all = answer.figures;
  const told = size + " tokens with control tokens; attended, forked over sequential: " + times(ratio(all.attended_forked, all.attended_sequential));
  const causal = draw("polygon", { points: `0,0 ${size},${size} 0,${size}`, class: "causal" });
  const picture = draw("svg", { viewBox: `0 0 ${size} ${size}`, class: "mask", role: "img", "aria-label": "Attention mask. " + told }, causal, ...shapes);
  return make("figure", {}, picture, make("figcaption", {}, "Row: the token that attends; column: the token attended to. Faint: what sequential decoding attends to besides. " + told + "."));
}
