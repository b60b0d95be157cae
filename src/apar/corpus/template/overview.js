/** The whole data set, from its report. */
function showOverview(place, report) {
  const dropped = { ...report.dropped.by_reason };
  if (report.broken.count) dropped["broken records"] = report.broken.count;
  place.replaceChildren(
    make("p", { class: "facts" }, whole(report.answers) + " answers. Tokens are counted by " + report.token_counter + "."),
    costs(report),
    make("div", { class: "charts" },
      bars("Ideal speed-up, structured answers", buckets(report.speedup_histogram.structured, false), "tokens per step of the critical path"),
      bars("Ideal speed-up, all answers", buckets(report.speedup_histogram.all, false)),
      bars("Details of a structured answer", buckets(report.details_per_answer.histogram, true), spread(report.details_per_answer)),
      bars("Length of a detail", buckets(report.detail_tokens.histogram, true), "tokens; " + spread(report.detail_tokens)),
      bars("Depth", Object.entries(report.depth), "1: nothing forks"),
      bars("Rules", Object.entries(report.by_rule), "what the outermost parts are"),
      bars("Why answers do not fork", Object.entries(report.by_reason)),
      bars("Refused groups of parts", Object.entries(report.refused_groups), "in structured answers too"),
      bars("Kinds", Object.entries(report.by_kind)),
      bars("Left out", Object.entries(dropped)),
    ),
    groups("Rules by source", report.by_source_figures),
    groups("Rules by model", report.by_model_figures),
    groups("Rules by language", report.by_language_figures),
  );
}

const number = (value) => (value === null ? "–" : value.toFixed(1));

const spread = (one) => "mean " + number(one.mean) + ", median " + number(one.median);

const cells = (values) => values.map((value) => make("td", { class: "number" }, value));

function costs(report) {
  const names = ["answers", "tokens", "critical path", "speed-up", "mean", "median", "attended", "KV-token-steps"];
  const rows = ["all", "structured"].map((name) => {
    const one = report[name];
    const speed = one.ideal_speedup;
    const shown = [whole(one.answers), whole(one.tokens), whole(one.critical_path), times(speed.corpus), times(speed.mean), times(speed.median), times(one.attended.ratio), times(one.kv_token_steps.ratio)];
    return make("tr", {}, make("th", { scope: "row" }, name), ...cells(shown));
  });
  return scrolled("Figures", names, rows, "speed-up: ideal, tokens over critical path; attended, KV: forked over sequential");
}

/** A table of groups of answers: how many of each rule, and their speed-up. */
function groups(title, figures) {
  const used = Object.keys(DATA.report.by_rule).filter((rule) => DATA.report.by_rule[rule]);
  const rows = Object.entries(figures).map(([name, one]) => {
    const rules = used.map((rule) => (one.by_rule[rule] ? whole(one.by_rule[rule]) : "–"));
    return make("tr", {}, make("th", { scope: "row" }, name), ...cells([whole(one.answers), times(one.ideal_speedup.corpus), ...rules]));
  });
  return rows.length ? scrolled(title, ["answers", "speed-up", ...used.map(words)], rows) : "";
}

/** A wide table in a box of its own, which scrolls where the window is narrow. */
function scrolled(title, names, rows, note = "") {
  const head = make("tr", {}, make("td", {}), ...names.map((name) => make("th", { scope: "col" }, name)));
  const table = make("table", { class: "wide" }, make("thead", {}, head), make("tbody", {}, ...rows));
  return make("section", {}, make("h3", {}, title, " ", make("small", {}, note)),
    make("div", { class: "scrolled", tabindex: "0", role: "region", "aria-label": title }, table));
}
