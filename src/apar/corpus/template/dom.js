"use strict";

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; strings become text, never markup. */
function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for a part of a drawing. */
function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "hue") element.style.setProperty("--hue", value);
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Names as people read them. */
const words = (name) => String(name).replaceAll("_", " ");

const whole = (number) => number.toLocaleString("en");

const times = (number) => (number === null ? "–" : number.toFixed(2) + "x");

/** One over other; null where there is nothing to divide by. */
const ratio = (one, other) => (other ? one / other : null);

/** Neighbouring threads get hues far from each other. */
const hueOf = (thread) => Math.round((210 + thread * 137.5) % 360);

/** Histogram buckets `from-to`, `to` excluded, by names that people read; those of whole numbers name what they hold. */
function buckets(histogram, integers) {
  const name = (bucket) => {
    const [from, to] = bucket.split("-");
    if (!from) return "below " + to;
    if (!to) return from + " and more";
    return integers ? (to - from === 1 ? from : from + "–" + (to - 1)) : from + "–" + to;
  };
  return Object.entries(histogram).map(([bucket, count]) => [name(bucket), count]);
}

/** Rows of a name and a count as a table with bars. */
function bars(title, rows, note = "") {
  const most = Math.max(1, ...rows.map(([, count]) => count));
  const total = rows.reduce((sum, [, count]) => sum + count, 0);
  const table = make("table", { class: "bars" }, make("caption", {}, title, note && make("small", {}, note)));
  for (const [name, count] of rows) {
    const bar = make("div", { class: "bar" });
    bar.style.width = (100 * count) / most + "%";
    const share = total ? Math.round((100 * count) / total) + " %" : "";
    const number = make("td", { class: "number" }, whole(count), " ", make("small", {}, share));
    table.append(make("tr", {}, make("th", { scope: "row" }, words(name)), make("td", { "aria-hidden": "true" }, bar), number));
  }
  return rows.length ? table : make("p", { class: "empty" }, title + ": none");
}
