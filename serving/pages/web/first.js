/* Before a page is drawn: the key of this tab, and the requests that the page begins with, so that they wait for no module. */
"use strict";
const first = (() => {
  const KEY = "recstage-key", LIMIT = 10, PATIENCE = 15000;
  const early = new Map();
  const given = new URLSearchParams(location.search).get("user_id") ?? sessionStorage.getItem("recstage-user") ?? "";

  /** The key that was typed in; it lives as long as this tab. */
  const key = {
    get: () => sessionStorage.getItem(KEY) ?? "",
    set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
  };

  /** Headers that authenticate: a JWT has two dots and travels as a bearer token. */
  const credentials = () => {
    const value = key.get();
    if (!value) return {};
    return value.split(".").length === 3 ? { Authorization: `Bearer ${value}` } : { "X-API-Key": value };
  };

  /** The address of a request; values that are empty are left out. */
  const addressOf = (path, query = {}) => {
    const url = new URL(path, location.origin);
    for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== "") url.searchParams.append(name, value);
    return url.href;
  };

  /** The query of a list. */
  const listOf = (user, { category = "", unseen = true, variety = 0 } = {}) =>
    ({ user_id: user, limit: LIMIT, explain: true, category, exclude_seen: unseen, lambda: 1 - variety });

  /** Whom to show where no user is given: the caller's own, or the first of the model's. */
  const chosen = ({ user_id: own, users }) => own ?? users[0]?.user_id ?? "guest";

  const begin = (address, then = (response) => response) => {
    const sent = fetch(address, { headers: credentials(), signal: AbortSignal.timeout(PATIENCE) }).then(then);
    sent.catch(() => {}); // whoever takes it handles what went wrong
    early.set(address, sent);
  };
  const list = (user) => begin(addressOf("/api/recommendations", listOf(user)));
  const andList = async (response) => {
    if (response.ok) list(chosen(await response.clone().json()));
    return response;
  };

  /** The promised response of a request that was sent early; each is taken once. */
  const take = (address) => {
    const sent = early.get(address);
    early.delete(address);
    return sent;
  };

  const withList = document.currentScript.dataset.list !== undefined;
  if (withList && given) list(given);
  begin(addressOf("/api/session"), withList && !given ? andList : undefined);
  return { PATIENCE, addressOf, chosen, credentials, given, key, listOf, take };
})();
