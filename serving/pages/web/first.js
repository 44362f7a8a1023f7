/* The first requests of the storefront, sent while the rest of the page still loads. */

import { call } from "./api.js";

const LIMIT = 10;
const early = new Map();
const named = (path, { query } = {}) => path + JSON.stringify(query ?? {});

/** The user of the address, or whom this tab showed last; "" for none. */
export const given = new URLSearchParams(location.search).get("user_id") ?? sessionStorage.getItem("recstage-user") ?? "";

/** Whom to show where nobody is given: the caller's own user, or the first of the model's. */
export const chosen = ({ user_id: own, users }) => own ?? users[0]?.user_id ?? "guest";

/** The query of a list. */
export const listOf = (user, { category = "", unseen = true, variety = 0 } = {}) =>
  ({ user_id: user, limit: LIMIT, explain: true, category, exclude_seen: unseen, lambda: 1 - variety });

/** The JSON of a request, of the one that was sent early where there is one. Throws a `Problem`. */
export function answer(path, options = {}) {
  const sent = early.get(named(path, options));
  early.delete(named(path, options));
  return sent ?? call(path, options);
}

function begin(path, options = {}) {
  const sent = call(path, options);
  sent.catch(() => {}); // whoever takes it handles what went wrong
  early.set(named(path, options), sent);
  return sent;
}

const list = (user) => begin("/api/recommendations", { query: listOf(user) });
const session = begin("/api/session");
if (given) list(given);
else session.then((found) => list(chosen(found))).catch(() => {});
