const DATA = JSON.parse(document.getElementById("data").textContent);
const FILTERS = {
  rule: (answer) => [answer.rule],
  refused: (answer) => [answer.reason, ...answer.refusals],
  source: (answer) => [answer.source],
  language: (answer) => [answer.language],
};
const list = document.getElementById("list");
let shown = []; // indices of the answers that the filters leave
let chosen = -1;

function makeFilters() {
  const search = make("input", { type: "search", name: "search", placeholder: "Search", "aria-label": "Search questions and answers" });
  const selects = Object.entries(FILTERS).map(([name, labels]) => {
    const values = [...new Set(DATA.answers.flatMap(labels).filter((label) => label !== null))].sort();
    const options = values.map((value) => make("option", { value }, words(value)));
    return make("select", { name, "aria-label": name }, make("option", { value: "" }, name + ": any"), ...options);
  });
  const form = document.getElementById("filters");
  form.append(search, ...selects);
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
}

const textOf = (answer) =>
  (answer.text ??= [answer.id, ...answer.messages.map((one) => one.content), ...answer.nodes.flatMap((node) => node.pieces.map((piece) => piece[0]))].join("").toLowerCase());

/** List the answers that fit the filters, and keep the choice if it is among them. */
function update() {
  const wanted = Object.fromEntries(new FormData(document.getElementById("filters")));
  const search = wanted.search.toLowerCase();
  const fits = (answer) =>
    Object.entries(FILTERS).every(([name, labels]) => !wanted[name] || labels(answer).includes(wanted[name])) && textOf(answer).includes(search);
  shown = DATA.answers.flatMap((answer, index) => (fits(answer) ? [index] : []));
  list.replaceChildren(...shown.map(option));
  document.getElementById("count").textContent = shown.length + " of " + DATA.answers.length + " answers";
  choose(shown.includes(chosen) ? chosen : (shown[0] ?? -1));
}

function option(index) {
  const answer = DATA.answers[index];
  const asked = answer.messages.length ? answer.messages[answer.messages.length - 1].content : answer.id;
  const verdict = words(answer.reason ?? answer.rule);
  return make("li", { role: "option", id: "option-" + index, "aria-selected": "false", onclick: () => choose(index) },
    make("span", { class: "asked" }, asked.trim().slice(0, 200) || answer.id),
    make("small", {}, verdict + " · " + answer.source + (answer.threads.length > 1 ? " · " + times(answer.figures.ideal_speedup) : "")));
}

function choose(index) {
  document.getElementById("option-" + chosen)?.setAttribute("aria-selected", "false");
  const place = document.getElementById("answer");
  const option = document.getElementById("option-" + index);
  if (!option) {
    list.removeAttribute("aria-activedescendant");
    place.replaceChildren(make("p", { class: "empty" }, "No answer fits."));
    chosen = -1;
    return;
  }
  option.setAttribute("aria-selected", "true");
  option.scrollIntoView({ block: "nearest" });
  list.setAttribute("aria-activedescendant", option.id);
  if (index !== chosen || !place.hasChildNodes()) showAnswer(place, DATA.answers[index]);
  chosen = index;
}

list.addEventListener("keydown", (event) => {
  const at = shown.indexOf(chosen);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 10, PageUp: at - 10, Home: 0, End: shown.length - 1 }[event.key];
  if (to === undefined || !shown.length) return;
  event.preventDefault();
  choose(shown[Math.min(Math.max(to, 0), shown.length - 1)]);
});

const tabs = [...document.querySelectorAll("[role=tab]")];

function open(tab) {
  for (const one of tabs) {
    one.setAttribute("aria-selected", String(one === tab));
    one.tabIndex = one === tab ? 0 : -1;
    document.getElementById(one.getAttribute("aria-controls")).hidden = one !== tab;
  }
}

for (const tab of tabs) {
  tab.addEventListener("click", () => open(tab));
  tab.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = tabs[(tabs.indexOf(tab) + 1) % tabs.length];
    open(other);
    other.focus();
  });
}

makeFilters();
update();
showOverview(document.getElementById("overview"), DATA.report);
