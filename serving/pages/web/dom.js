/* Elements without markup: texts are always text, so whatever a title holds is shown and never interpreted. */

/** An element: `el("button.quiet", { type: "button", onclick }, "Text", child)`. Null children are left out. */
export function el(selector, attributes = {}, ...children) {
  const [name, ...classes] = selector.split(".");
  const made = document.createElement(name || "div");
  if (classes.length) made.className = classes.join(" ");
  for (const [attribute, value] of Object.entries(attributes)) {
    if (attribute.startsWith("on")) made.addEventListener(attribute.slice(2), value);
    else if (value === true) made.setAttribute(attribute, "");
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(attribute, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** An SVG element. */
export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

/** An icon of the page's sprite; it says nothing to a screen reader. */
export const icon = (name) => svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));

export const $ = (id) => document.getElementById(id);

/** A message above the content: `kind` is info, warn or error; `action` is [label, function]. */
export function notice(place, kind, text, action) {
  const known = place.dataset.text === text && place.dataset.kind === kind;
  if (known && place.firstChild) return; // it is announced once
  Object.assign(place.dataset, { text, kind });
  place.replaceChildren(
    el(`div.notice.${kind}`, {}, icon(kind === "info" ? "info" : "warn"), el("p", {}, text),
      action && el("button.quiet", { type: "button", onclick: action[1] }, action[0])),
  );
}

const SLOW = 1500;

/** A promise, with a word in `place` where it takes long. */
export async function waiting(place, promise) {
  const timer = setTimeout(() => notice(place, "info", "Still waiting for the service …"), SLOW);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

export function clear(place) {
  delete place.dataset.text;
  place.replaceChildren();
}

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** "3 minutes ago", of a date or ISO text; "" for nothing. */
export function ago(when) {
  if (!when) return "";
  const seconds = (new Date(when) - Date.now()) / 1000;
  const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return RELATIVE.format(Math.trunc(seconds / length), unit);
}
