/* One recommended item: what it is, why it is here, and what a user can do with it. */

import { call, path } from "./api.js";
import { el, icon } from "./dom.js";

export const ACTIONS = {
  like: ["Like", "Liked"],
  save: ["Save", "Saved"],
  implement: ["Use", "Used"],
  dismiss: ["Dismiss", "Dismissed"],
};

/** The name of an item: its title, or its id where it has none. */
export const named = (item) => item.title || item.item_id;

/** A card. `act(type, item, value)` is what a button does; `opened(item, element)` is called with the details. */
export function card(item, { position, best, act, opened }) {
  const details = el("div.details", { id: `details-${position}`, hidden: true });
  const toggle = el(
    "button.title", { type: "button", "aria-expanded": "false", "aria-controls": details.id },
    el("span", {}, named(item)), icon("open"),
  );
  const made = el(
    "li.card", { "data-item": item.item_id },
    cover(item),
    el("div.body", {},
      el("h2.name", {}, toggle),
      el("p.reason", {}, item.reason ?? `Item ${item.item_id}`),
      el("div.actions", {}, Object.entries(ACTIONS).map(([type, [label]]) => button(type, label, item, act))),
      details,
    ),
    score(item.score, best),
  );
  toggle.addEventListener("click", () => {
    const open = toggle.getAttribute("aria-expanded") !== "true";
    toggle.setAttribute("aria-expanded", String(open));
    details.hidden = !open;
    if (!open) return;
    if (!details.firstChild) fill(details, item, act);
    opened(item, details);
  });
  return made;
}

function button(type, label, item, act) {
  const name = `${label}: ${named(item)}`;
  return el(`button.act.${type}`, { type: "button", title: label, "aria-label": name, onclick: () => act(type, item) },
    icon(type), el("span", {}, label));
}

/** Two letters on a colour of the item's own, in place of a picture. */
function cover(item) {
  const words = named(item).match(/\p{L}[\p{L}\p{N}]*/gu) ?? named(item).match(/\p{N}+/gu) ?? ["?"];
  const made = el("div.cover", { "aria-hidden": "true" }, words.slice(0, 2).map((word) => [...word][0]).join(""));
  let hue = 7;
  for (const sign of named(item)) hue = (hue * 31 + sign.codePointAt(0)) % 360;
  made.style.setProperty("--hue", hue);
  return made;
}

function score(value, best) {
  const made = el("div.score", { title: "Scores compare items of one list only" },
    el("span.number", {}, value.toPrecision(3)), el("span.hidden", {}, " score"), el("span.meter", { "aria-hidden": "true" }, el("span")));
  made.style.setProperty("--share", best > 0 ? Math.max(0.03, Math.min(1, value / best)) : 1);
  return made;
}

/** The details: a rating, and similar items. */
function fill(details, item, act) {
  const similar = el("div.similar", {}, el("p.muted", {}, "Looking for similar items …"));
  details.append(rating(item, act), el("h3", {}, "Similar items"), similar);
  call(path`/api/items/${item.item_id}/similar`, { query: { limit: 6 } })
    .then((found) => {
      if (!found.items.length) return similar.replaceChildren(el("p.muted", {}, "No item is similar to this one."));
      const rows = found.items.map((one) =>
        el("li", {}, el("span", {}, named(one)), el("span.muted", {}, `${Math.round(one.score * 100)} %`)));
      return similar.replaceChildren(el("ul", {}, rows), el("p.muted.small", {}, `by ${found.method_used}`));
    })
    .catch((problem) => similar.replaceChildren(el("p.muted", {}, problem.message)));
}

function rating(item, act) {
  const stars = [1, 2, 3, 4, 5].map((value) =>
    el("button.star", { type: "button", "aria-label": `${value} of 5 stars`, title: `${value} of 5`,
      onclick: () => act("rate", item, value) }, icon("star")));
  return el("div.rating", { role: "group", "aria-label": `Rate ${named(item)}` }, el("span.muted", {}, "Rate"), stars);
}
