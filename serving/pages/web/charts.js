/* Small charts without a library. Each says its figures as text beside it, so the drawing is hidden from screen readers. */

import { el, svg } from "./dom.js";

/** A number with its digits grouped. */
export const count = (value) => value.toLocaleString("en");

/** A share in percent. */
export const percent = (value, digits = 1) => `${(value * 100).toFixed(digits)} %`;

/** A line of values over time, newest right; null values are gaps. Nothing for fewer than two. */
export function sparkline(values) {
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return null;
  const top = Math.max(...known) || 1, step = 100 / (values.length - 1);
  let line = "", pen = "M";
  values.forEach((value, at) => {
    if (value === null) return;
    line += `${pen}${(at * step).toFixed(2)} ${(38 - (36 * value) / top).toFixed(2)}`;
    pen = "L";
  });
  const first = values.findIndex((value) => value !== null) * step;
  const last = (values.length - 1 - [...values].reverse().findIndex((value) => value !== null)) * step;
  return svg("svg", { class: "spark", viewBox: "0 0 100 40", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { class: "area", d: `${line}L${last} 40L${first} 40Z` }), svg("path", { d: line }));
}

/** Parts of a whole: one bar, and a legend with numbers and shares. */
export function mix(parts) {
  const total = Object.values(parts).reduce((sum, value) => sum + value, 0);
  const entries = Object.entries(parts);
  const bar = el("div.stack", { "aria-hidden": "true" }, entries.map(([, value], at) =>
    sized(el(`span.t${Math.min(at, 5)}`), { share: value / total })));
  const legend = el("ul.legend", {}, entries.map(([name, value], at) =>
    el("li", {}, el(`i.t${Math.min(at, 5)}`, { "aria-hidden": "true" }), el("span", {}, name),
      el("span", {}, count(value)), el("span.muted", {}, percent(value / total, 0)))));
  return [bar, legend];
}

/** Rates with their intervals on one scale. */
export function ranges(rows) {
  const top = Math.max(...rows.map((row) => row.high)) || 1;
  return el("ul.ranges", {}, rows.map((row) =>
    el("li", {}, el("div.row", {}, el("span", {}, row.name), el("span", {}, row.text)),
      sized(el("div.range", { "aria-hidden": "true" }, el("span"), el("b")),
        { low: row.low / top, high: row.high / top, at: row.rate / top }),
      el("span.muted.small", {}, row.note))));
}

/** Two distributions over the same groups, side by side. */
export function pairs(then, now) {
  const top = Math.max(...then, ...now) || 1;
  return el("div.bars", { "aria-hidden": "true" }, then.map((share, at) =>
    el("span", {}, sized(el("i.t5"), { share: share / top }), sized(el("i.t0"), { share: now[at] / top }))));
}

function sized(element, sizes) {
  for (const [name, value] of Object.entries(sizes)) element.style.setProperty(`--${name}`, value);
  return element;
}
