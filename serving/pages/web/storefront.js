/* The storefront: a user, the user's list, what the user does with it, and the list that follows from that. */

import { Tracker } from "/tracker.js";
import { call, path, Problem } from "./api.js";
import { ACTIONS, card, named } from "./card.js";
import { $, clear, el, notice, waiting } from "./dom.js";
import { session } from "./signin.js";

const { chosen, credentials, given, listOf } = first;
const RETRY = 3000;
const ALL_CATEGORIES = ["All categories", () => { $("category").value = ""; load(); }];
const state = { user: "", list: null, session: null, ready: null, known: null, turn: 0, retry: 0 };
const tracker = new Tracker({ headers: credentials() });

listen();
start();

/** The list of a user who is given is requested at once, beside the session; the first of a sample needs the session. */
async function start() {
  state.ready = session();
  const first = given && choose(given);
  try {
    state.session = await waiting($("notices"), state.ready);
  } catch (problem) {
    return failed(problem, () => start());
  }
  tracker.headers = credentials();
  const own = state.session.user_id;
  fill(state.session);
  if (!given || (own && own !== given)) return choose(chosen(state.session));
  await first; // what is on its way is not asked for again
  if (state.list) say(state.list);
  else if (state.user === given) await load();
}

/** What the served version has to choose from: users and categories. */
function fill({ users, categories }) {
  $("samples").replaceChildren(...users.map(sample));
  $("samples-note").hidden = !users.length;
  mark();
  const chosen = $("category").value;
  $("category").replaceChildren(el("option", { value: "" }, "All"), ...categories.map((name) => el("option", { value: name }, name)));
  $("category").value = categories.includes(chosen) ? chosen : "";
  $("create-categories").replaceChildren(...categories.slice(0, 12).map((name) =>
    el("label.chip", {}, el("input", { type: "checkbox", value: name }), el("span", {}, name))));
  $("create-tastes").hidden = !categories.length;
}

/** Another version serves than this page knows: it may have other users and categories. */
async function follow(version) {
  if (!state.session || version === state.session.model_version) return;
  try {
    state.session = await session();
    fill(state.session);
  } catch {} // the next list tries again
}

function mark() {
  for (const chip of $("samples").children) chip.setAttribute("aria-pressed", String(chip.dataset.user === state.user));
}

function sample({ user_id: user, interactions }) {
  return el("button.chip", { type: "button", "data-user": user, onclick: () => choose(user) },
    el("span", {}, user), el("span.muted", { title: "interactions the model was trained on" }, String(interactions)));
}

function listen() {
  $("user-form").addEventListener("submit", (event) => {
    event.preventDefault();
    choose($("user").value);
  });
  $("category").addEventListener("change", () => load());
  $("unseen").addEventListener("change", () => load());
  $("variety").addEventListener("input", () => {
    const value = Number($("variety").value);
    $("variety-value").textContent = value ? `${Math.round(value * 100)} %` : "off";
  });
  $("variety").addEventListener("change", () => load());
  $("personal").addEventListener("change", optOut);
  $("new-user").addEventListener("click", () => {
    $("create-id").value = `guest-${Math.random().toString(36).slice(2, 7)}`;
    $("create-error").textContent = "";
    $("create").showModal();
  });
  $("create-cancel").addEventListener("click", () => $("create").close());
  $("create-form").addEventListener("submit", create);
}

// -- the user ---------------------------------------------------------------------------------------------------------

async function choose(user) {
  state.user = user;
  state.list = null;
  $("user").value = user;
  remember(user);
  mark();
  $("title").textContent = `Recommended for ${user}`;
  $("feed").replaceChildren();
  $("feed-empty").hidden = false;
  tracker.identify(undefined); // nothing is recorded until it is known whether the user opted out
  state.known = profile(user);
  await Promise.all([load(), state.known]);
}

/** Whether the user opted out, where the caller may know; the service ignores events of those who did in any case. */
async function profile(user) {
  let personal = true, known = false;
  try {
    known = (await state.ready).database;
    if (known) personal = !(await call(path`/api/users/${user}/profile`)).opted_out;
  } catch (problem) {
    known = problem.status === 404;
  }
  if (user !== state.user) return;
  $("personal").checked = personal;
  $("personal-row").hidden = !known;
  tracker.identify(user, !personal);
}

async function optOut() {
  const personal = $("personal").checked, user = state.user;
  tracker.identify(user, !personal);
  try {
    const before = await call(path`/api/users/${user}/profile`).catch((problem) => {
      if (problem.status !== 404) throw problem;
      return { role: null, categories: [] };
    });
    const body = { role: before.role, categories: before.categories, opted_out: !personal };
    await call(path`/api/users/${user}/profile`, { method: "PUT", body });
    happened(personal ? "Opted in" : "Opted out: the list of an unknown user, and nothing is recorded");
    await load();
  } catch (problem) {
    $("personal").checked = !personal;
    tracker.identify(user, personal);
    failed(problem);
  }
}

async function create(event) {
  event.preventDefault();
  const user = $("create-id").value.trim();
  const categories = [...$("create-categories").querySelectorAll(":checked")].map((box) => box.value);
  try {
    if (state.session.database) await call(path`/api/users/${user}/profile`, { method: "PUT", body: { categories } });
  } catch (problem) {
    if (categories.length || ![403, 503].includes(problem.status)) {
      $("create-error").textContent = problem.message;
      return;
    }
  }
  $("create").close();
  await choose(user);
}

// -- the list ---------------------------------------------------------------------------------------------------------

async function load() {
  const turn = ++state.turn;
  clearTimeout(state.retry);
  if (!state.list) $("items").replaceChildren(...Array.from({ length: 4 }, () => el("li.card.skeleton", { "aria-hidden": "true" })));
  const wanted = { category: $("category").value, unseen: $("unseen").checked, variety: Number($("variety").value) };
  try {
    const found = await waiting($("notices"), call("/api/recommendations", { query: listOf(state.user, wanted) }));
    if (turn !== state.turn) return null;
    const before = state.list;
    state.list = found;
    show(found, before);
    follow(found.model_version);
    return changes(found, before);
  } catch (problem) {
    if (turn === state.turn) failed(problem, () => load());
    return null;
  }
}

function show(found, before) {
  const place = $("items"), boxes = new Map();
  const focused = document.activeElement?.closest?.(".card")?.dataset.item;
  for (const one of place.children) boxes.set(one.dataset.item, one.getBoundingClientRect().top);
  const old = new Map((before?.items ?? []).map((item, rank) => [item.item_id, rank]));
  const best = Math.max(...found.items.map((item) => item.score), 0);
  const cards = found.items.map((item, rank) => {
    const made = card(item, { position: rank, best, act, opened });
    if (before && !old.has(item.item_id)) made.classList.add("new");
    const up = (old.get(item.item_id) ?? rank) - rank;
    if (up) made.querySelector(".score").append(el(`span.moved`, {}, up > 0 ? `▲ ${up}` : `▼ ${-up}`));
    if (before && !old.has(item.item_id)) made.querySelector(".score").append(el("span.moved.fresh", {}, "new"));
    return made;
  });
  place.replaceChildren(...cards);
  if (before) slide(cards, boxes);
  if (focused) (cards.find((one) => one.dataset.item === focused) ?? cards[0])?.querySelector("button")?.focus();
  $("method").replaceChildren(...described(found));
  say(found);
}

/** Cards move from where they were (FLIP), unless the reader prefers less motion. */
function slide(cards, boxes) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const one of cards) {
    const from = boxes.get(one.dataset.item), to = one.getBoundingClientRect().top;
    const frames = from === undefined
      ? [{ opacity: 0, transform: "translateY(12px)" }, { opacity: 1, transform: "none" }]
      : [{ transform: `translateY(${from - to}px)` }, { transform: "none" }];
    one.animate(frames, { duration: 320, easing: "cubic-bezier(.2,.8,.2,1)" });
  }
}

function described(found) {
  const by = found.model_version ? `version ${found.model_version}` : "the service's own data";
  const parts = [el("strong", {}, found.method_used), ` of ${by}`];
  if (found.diversity_score !== null) parts.push(` · diversity ${found.diversity_score.toFixed(2)}`);
  return parts;
}

/** What the reader should know about this list, in order of weight. */
function say(found) {
  const place = $("notices"), category = $("category").value;
  if (!found.items.length) {
    if (category) notice(place, "info", `Nothing of the category “${category}” is left for this user.`, ALL_CATEGORIES);
    else notice(place, "info", "There is no item to list: the catalogue is empty, or this user has seen all of it.");
  } else if (found.degraded) {
    notice(place, "warn", "The database is unavailable: this list does not know what the user did lately.", ["Try again", () => load()]);
  } else if (state.session && !state.session.database) {
    notice(place, "warn", "This service runs without a database: what you click is not stored, so the list stays as it is.");
  } else if (found.method_used === "popularity") {
    const trainedOn = state.session?.users.some((one) => one.user_id === found.user_id);
    notice(place, "info", trainedOn
      ? "These are the popular items: the version in Production has no personal list for this user."
      : "Nothing is known about this user yet, so these are the popular items. Like one and see.");
  } else clear(place);
}

function failed(problem, again) {
  const place = $("notices");
  if (problem.status === 401) return state.session && start(); // else the session is asking for a key
  if (!(problem instanceof Problem)) throw problem;
  const nothing = problem.status === 503 && problem.kind !== "overloaded" && !state.list;
  const text = nothing ? `${problem.message} This page looks again every few seconds.` : problem.message;
  if (!state.list) $("items").replaceChildren();
  const action = problem.kind === "unknown-category" ? ALL_CATEGORIES : again && ["Try again", again];
  notice(place, problem.status === 403 ? "warn" : "error", text, action);
  const passes = problem.status === 0 || problem.status === 429 || problem.status >= 500;
  if (again && passes) state.retry = setTimeout(again, RETRY);
}

// -- what the user does -----------------------------------------------------------------------------------------------

async function act(type, item, value) {
  await state.known;
  if (!state.session?.database) return;
  if (tracker.optedOut) {
    notice($("notices"), "info", "This user opted out: nothing is recorded, and the list does not change.");
    return;
  }
  tracker.track(type, item.item_id, { value, requestId: state.list.request_id, context: { page: "storefront" } });
  const done = type === "rate" ? `Rated ${value} of 5:` : ACTIONS[type][1];
  const stored = await tracker.flush();
  if (tracker.optedOut) return profile(state.user);
  if (!stored) {
    happened(`${done} ${named(item)}`, "kept, and sent once the service takes it");
    return;
  }
  const changed = await load();
  happened(`${done} ${named(item)}`, changed ?? "");
}

function opened(item, element) {
  if (!state.session?.database) return;
  const options = { requestId: state.list.request_id, context: { page: "storefront" } };
  tracker.track("click", item.item_id, options);
  tracker.observe(element, item.item_id, options);
}

/** In words, how a list differs from the one before. */
function changes(found, before) {
  if (!before) return "";
  const old = before.items.map((item) => item.item_id);
  const fresh = found.items.filter((item) => !old.includes(item.item_id)).length;
  const moved = found.items.filter((item, rank) => old.includes(item.item_id) && old[rank] !== item.item_id).length;
  if (!fresh && !moved) return "the list stays as it was";
  return [fresh && `${fresh} new`, moved && `${moved} moved`].filter(Boolean).join(", ");
}

function happened(what, effect = "") {
  $("feed-empty").hidden = true;
  const now = new Date();
  $("feed").prepend(el("li", {}, el("span", {}, what), el("span.muted", {}, effect),
    el("time.muted.small", { datetime: now.toISOString() }, now.toLocaleTimeString())));
  while ($("feed").children.length > 12) $("feed").lastChild.remove();
}

function remember(user) {
  sessionStorage.setItem("recstage-user", user);
}
