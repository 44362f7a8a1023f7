/* The operations page: reads the state of the service every five seconds, and asks for changes. */

import { call } from "./api.js";
import { ask } from "./changes.js";
import { count, mix, pairs, percent, ranges, sparkline } from "./charts.js";
import { $, ago, clear, el, icon, notice, waiting } from "./dom.js";
import { session, signIn } from "./signin.js";

const PERIOD = 5000;
const FIGURES = {
  ndcg_at_10: "NDCG@10", hit_rate_at_10: "hit rate@10", recall_at_20: "recall@20", coverage_at_10: "coverage@10", latency_p95_ms: "p95, ms",
};
const LESS_IS_BETTER = new Set(["latency_p95_ms"]);
let shown = ""; // what the slow parts show, as JSON: they are drawn anew only when it changes
let timer = 0;
let keep = 0; // until when a message stays

start();

async function start() {
  try {
    await session();
    await refresh();
  } catch (problem) {
    failed(problem);
  }
}

async function refresh() {
  clearTimeout(timer);
  try {
    show(await waiting($("notices"), call("/api/operations")));
    if (performance.now() > keep) clear($("notices"));
  } catch (problem) {
    if (problem.status === 401) return start();
    failed(problem);
  }
  timer = setTimeout(refresh, document.hidden ? 12 * PERIOD : PERIOD);
}

async function failed(problem) {
  if (problem.status === 403) {
    await signIn(`${problem.message} Show a key of that role.`);
    return start();
  }
  notice($("notices"), "error", `${problem.message} This page looks again every few seconds.`);
  if (!shown) $("freshness").textContent = "The state of the service is not known.";
  clearTimeout(timer);
  timer = setTimeout(shown ? refresh : start, PERIOD);
  return null;
}

function show(state) {
  $("freshness").textContent = state.registry
    ? `Live. The registry was read ${ago(state.registry.copied_at)}.`
    : "Live. The service follows no registry, or has not read it yet.";
  const slow = JSON.stringify([state.served, state.registry?.versions, state.registry?.changes, state.click_through, state.drift, state.role]);
  showLive(state.live);
  showAlerts(state);
  if (slow === shown) return;
  shown = slow;
  showState(state);
  showClicks(state.click_through);
  showDrift(state.drift);
  showVersions(state);
  showHistory(state.registry?.changes ?? []);
}

// -- Production and Staging -------------------------------------------------------------------------------------------

function showState({ served, registry, role }) {
  const admin = role === "admin" && registry;
  const staging = registry?.versions.find((one) => one.stage === "Staging");
  const why = served?.promotion;
  const facts = served && [
    ["Since", why?.at ? `${ago(why.at)} (${moment(why.at)})` : `${ago(served.served_since)} in this process`],
    ["By", why?.by], ["Why", why?.reason], ["Before", why?.previous_version && `version ${why.previous_version}`],
    ["Trained", served.trained_at && `${ago(served.trained_at)} on ${count(served.n_users)} users, ${count(served.n_items)} items`],
  ];
  const production = el("article.tile.main", {}, el("h2", {}, "Production"),
    el("p.big", {}, served?.version ? `Version ${served.version} ` : "None ", el("small", {}, served?.version ? served.algorithm : served ? "fallback models serve" : "nothing can be served")),
    facts ? list(facts) : el("p.muted", {}, "There is neither a version in Production nor data of the service's own. Promote a version below."),
    ...(admin ? back(served, registry) : []));
  $("state").replaceChildren(production, staged(staging, admin));
}

// A rollback leads to the predecessor; where Production was unset, to what it was.
function back(served, registry) {
  const nowhere = served?.version ? !served.promotion?.previous_version : !registry.changes.length;
  const why = "There is no earlier version to roll back to.";
  const button = el("button.quiet", { type: "button", onclick: rollBack, ...(nowhere && { disabled: "", "aria-describedby": "no-way-back" }) }, "Roll back");
  return [el("div.row", {}, button), nowhere && el("p.muted.small", { id: "no-way-back" }, why)];
}

function staged(version, admin) {
  const tile = el("article.tile", {}, el("h2", {}, "Staging"));
  if (!version) {
    tile.append(el("p.big", {}, "None"), el("p.muted", {}, "No version waits to be compared with Production. Put one into the stage Staging in the MLflow UI."));
    return tile;
  }
  const share = Number(version.experiment["experiment.share"] ?? 0);
  tile.append(
    el("p.big", {}, `Version ${version.version} `, el("small", {}, version.algorithm)),
    list([["Share", `${percent(share, 0)} of the users`], ["Mode", version.experiment["experiment.mode"]], ["Trained", ago(version.created_at)], ["Gate", version.gate || "not judged yet"]]));
  if (admin) {
    tile.append(el("div.row", {}, el("button", { type: "button", onclick: () => promote(version) }, "Promote"),
      el("button.quiet", { type: "button", onclick: () => setShare(version, share) }, "Set the share")));
  }
  return tile;
}

const list = (facts) => el("dl", {}, facts.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
const moment = (when) => new Date(when).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });

// -- live -------------------------------------------------------------------------------------------------------------

function showLive(live) {
  const minutes = live.seconds / 60;
  $("window").textContent = minutes < 1.5 ? `last ${Math.round(live.seconds)} s` : minutes < 90 ? `last ${Math.round(minutes)} min` : `last ${Math.round(minutes / 60)} h`;
  const lookups = live.cache_hits + live.cache_misses;
  const milliseconds = (value) => (value === null ? "–" : value < 10 ? value.toFixed(1) : Math.round(value));
  $("live").replaceChildren(
    tile("Latency, p95", live.p95 === null ? "–" : `${milliseconds(live.p95)} ms`, `p50 ${milliseconds(live.p50)}, p99 ${milliseconds(live.p99)} ms`, live.points.map((one) => one.p95)),
    tile("Lists", count(live.lists), `${(live.lists / Math.max(1, live.seconds)).toFixed(1)} a second`, live.points.map((one) => one.rate)),
    tile("Cache hits", lookups ? percent(live.cache_hits / lookups, 0) : "–", `${count(lookups)} look-ups`),
    tile("Failed", count(live.failed), `${count(sum(live.refused))} refused, ${count(live.events)} events stored`),
  );
  const used = Object.keys(live.methods).length ? mix(live.methods) : [el("p.muted", {}, "No list was requested yet.")];
  $("methods").replaceChildren(...used, ...without(live.fallbacks));
}

function tile(name, value, note, values) {
  return el("article.tile", {}, el("h3", {}, name), el("p.big", {}, String(value)), el("p.muted.small", {}, note), values && sparkline(values));
}

const sum = (counts) => Object.values(counts).reduce((total, one) => total + one, 0);
const without = (fallbacks) => Object.keys(fallbacks).length
  ? [el("p.muted.small", {}, `Made without something: ${Object.entries(fallbacks).map(([reason, number]) => `${reason} ${count(number)}`).join(", ")}`)] : [];

function showAlerts({ conditions, alerts }) {
  const rows = [
    ...conditions.map((one) => el("li", {}, icon("warn"), el("span", {}, one.text), el("span.muted.small", {}, one.remedy))),
    ...alerts.map((one) => el("li", {}, icon("warn"), el("span", {}, one.text), el("span.muted.small", {}, one.name))),
  ];
  const text = rows.map((row) => row.textContent).join();
  if ($("alerts").dataset.text === text && $("alerts").firstChild) return;
  $("alerts").dataset.text = text;
  $("alerts").replaceChildren(...(rows.length ? rows : [el("li.calm", {}, icon("good"), el("span", {}, "Nothing is wrong."))]));
}

// -- how well ---------------------------------------------------------------------------------------------------------

function showClicks(rows) {
  const place = $("clicks");
  if (rows === null) return place.replaceChildren(el("p.muted", {}, "Not known: there is no database, or it is unavailable."));
  if (!rows.length) return place.replaceChildren(el("p.muted", {}, "No list was shown yet."));
  return place.replaceChildren(
    ranges(rows.map((row) => ({ ...row, name: row.version === null ? "Fallback models" : `Version ${row.version}`, text: percent(row.rate),
      note: `${count(row.clicked)} of ${count(row.lists)} lists, 95 % interval ${percent(row.low)} to ${percent(row.high)}` }))));
}

function showDrift(drift) {
  const place = $("drift");
  if (drift === null) return place.replaceChildren(el("p.muted", {}, "Not known: there is no database, or it is unavailable."));
  if (drift.psi === null) {
    return place.replaceChildren(el("p.muted", {}, `${count(drift.events)} events are too few to tell; 200 of items that the model knows are needed.`));
  }
  return place.replaceChildren(
    pairs(drift.then, drift.now),
    el("ul.legend.flat", {}, legend("t5", "in training"), legend("t0", "now")),
    el("p", {}, el(`span.badge.${drift.verdict}`, {}, drift.verdict), ` stability index ${drift.psi.toFixed(3)}`),
    el("p.muted.small", {}, `Ten groups of items, the most popular left; ${count(drift.events)} events, ${percent(drift.unknown_share)} of items that the model lacks. From 0.25 on, retrain.`));
}

const legend = (tone, name) => el("li", {}, el(`i.${tone}`, { "aria-hidden": "true" }), el("span.small", {}, name));

function showVersions({ registry, role, served, click_through: clicks }) {
  const place = $("versions");
  if (!registry) {
    return place.replaceChildren(el("p.muted", {}, "The registry is not known here: the service follows none, or has not read it yet."));
  }
  if (!registry.versions.length) return place.replaceChildren(el("p.muted", {}, "No version is registered yet: recstage train als --data NAME"));
  const keys = Object.keys(FIGURES).filter((key) => registry.versions.some((one) => key in one.figures));
  const best = Object.fromEntries(keys.map((key) => [key, bestOf(key, registry.versions)]));
  const head = ["Version", "Stage", "Gate", ...keys.map((key) => FIGURES[key]), "Click-through", role === "admin" ? "Change" : ""];
  const rate = new Map((clicks ?? []).map((row) => [row.version, row]));
  const rows = registry.versions.map((one) => el(one.comparable ? "tr" : "tr.apart", {},
    el("th", { scope: "row" }, `${one.version} `, el("span.muted", {}, one.algorithm)),
    el("td", {}, one.stage === "None" ? "" : el(`span.badge.${one.stage}`, {}, one.stage)),
    el("td", {}, gate(one)),
    keys.map((key) => el(best[key] === one.figures[key] && one.comparable ? "td.figure.best" : "td.figure", {}, figure(one.figures[key], key))),
    el("td.figure", {}, rate.has(one.version) ? percent(rate.get(one.version).rate) : ""),
    el("td", {}, role === "admin" && one.version !== served?.version && el("button.quiet", { type: "button", onclick: () => promote(one), "aria-label": `Promote version ${one.version}` }, "Promote"))));
  const apart = registry.versions.some((one) => !one.comparable);
  return place.replaceChildren(
    el("div.table", { tabindex: "0", role: "group", "aria-label": "Table of versions, scrolls sideways" },
      el("table", {}, el("thead", {}, el("tr", {}, head.map((name, at) => el(at > 2 && at < head.length - 1 ? "th.figure" : "th", { scope: "col" }, name)))),
        el("tbody", {}, rows))),
    apart ? el("p.muted.small", {}, "Grey figures are of other test rows than those of Production, and do not compare.") : "");
}

function gate(version) {
  if (!version.gate) return el("span.muted", {}, "not judged");
  const badge = el(`span.badge.${version.gate}`, {}, version.gate);
  if (!version.gate_reasons.length) return badge;
  return el("details", {}, el("summary", {}, badge), el("ul.why", {}, version.gate_reasons.map((reason) => el("li", {}, reason))));
}

function bestOf(key, versions) {
  const values = versions.filter((one) => one.comparable && key in one.figures).map((one) => one.figures[key]);
  return LESS_IS_BETTER.has(key) ? Math.min(...values) : Math.max(...values);
}

const figure = (value, key) => (value === undefined ? "" : key === "latency_p95_ms" ? value.toFixed(1) : value.toFixed(4));

const HOW = {
  promote: "promoted", rollback: "rolled back to", stage: "staged in the MLflow UI", alias: "named by the alias", deleted: "put back", unset: "unset",
};

function showHistory(changes) {
  const rows = changes.map((one) => el("li", {}, el("time", { datetime: one.at, title: moment(one.at) }, ago(one.at)),
    el("div", {}, el("strong", {}, one.version === null ? "Nothing in Production" : `Version ${one.version}`),
      ` ${HOW[one.how] ?? one.how} by ${one.by}`, one.previous ? `, after version ${one.previous}` : "", one.reason ? el("p.muted", {}, one.reason) : "")));
  $("history").replaceChildren(...(rows.length ? rows : [el("li", {}, el("span.muted", {}, "None yet."))]));
}

// -- changes ----------------------------------------------------------------------------------------------------------

async function promote(version) {
  const done = await ask({
    title: `Promote version ${version.version}?`,
    text: `${version.algorithm}, trained ${ago(version.created_at)}. The promotion gate compares it with Production first.`,
    go: "Promote", path: "/api/operations/promote", body: { version: version.version },
  });
  if (done) await told(done.gate === "unchanged" ? `Version ${done.version} was Production already.` : `Version ${done.version} is Production now (gate: ${done.gate}).`);
}

async function rollBack() {
  const done = await ask({
    title: "Roll back?", text: "What was Production before serves again, at once and without asking the gate.",
    go: "Roll back", path: "/api/operations/rollback", body: {}, danger: true,
  });
  if (done) await told(`Version ${done.version} is Production again.`);
}

async function setShare(version, share) {
  const mode = version.experiment["experiment.mode"] || "split";
  const done = await ask({
    title: `Show version ${version.version} to a share of the users?`,
    text: `Mode ${mode}. The same users keep seeing it when the share grows; 0 ends the experiment.`,
    go: "Set the share", path: "/api/operations/experiment", body: { mode }, share: share || 0.1,
  });
  if (done) await told(done.share ? `Version ${done.challenger} is shown to ${percent(done.share, 0)} of the users.` : "The experiment has ended.");
}

async function told(text) {
  keep = performance.now() + 15000;
  notice($("notices"), "info", `${text} The service follows within two seconds.`);
  await refresh();
  setTimeout(refresh, 2000);
}
