/* Requests to the service: the key of this tab, a time limit, and problems as errors with one clear sentence. */

const KEY = "recstage-key";
const PATIENCE = 15000;

/** A response that is no success, or no response at all (status 0). `message` is a sentence for the reader. */
export class Problem extends Error {
  constructor(status, kind, message, errors = []) {
    super(message);
    this.status = status;
    this.kind = kind;
    this.errors = errors; // [{ where, rule }]
  }
}

/** The key that was typed in; it lives as long as this tab. */
export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/** Headers that authenticate: a JWT has two dots and travels as a bearer token. */
export function credentials() {
  const value = key.get();
  if (!value) return {};
  return value.split(".").length === 3 ? { Authorization: `Bearer ${value}` } : { "X-API-Key": value };
}

/** The JSON of a request. Throws a `Problem`. */
export async function call(path, { method = "GET", query = {}, body, patience = PATIENCE } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) if (one !== undefined && one !== "") url.searchParams.append(name, one);
  }
  const headers = { ...credentials(), ...(body && { "Content-Type": "application/json" }) };
  const signal = AbortSignal.timeout(patience);
  let response;
  try {
    response = await fetch(url, { method, headers, body: body && JSON.stringify(body), signal });
    return await read(response);
  } catch (error) {
    if (error instanceof Problem) throw error;
    if (error.name === "TimeoutError") {
      throw new Problem(0, "slow", `The service did not answer within ${patience / 1000} seconds.`);
    }
    throw new Problem(0, "unreachable", "The service does not answer. It may be restarting, or the network is down.");
  }
}

async function read(response) {
  if (response.status === 204) return null;
  const json = /json/.test(response.headers.get("content-type") ?? "");
  const content = json ? await response.json() : {};
  if (response.ok && json) return content;
  const kind = (content.type ?? "").split("/").pop();
  throw new Problem(response.status, kind, content.detail ?? `The service answered with status ${response.status}.`, content.errors);
}

/** A path with ids in it: `path`/api/items/${id}/similar``. */
export const path = (parts, ...ids) => String.raw({ raw: parts }, ...ids.map((id) => encodeURIComponent(id)));
