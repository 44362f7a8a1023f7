/* Requests to the service: a time limit, and problems as errors with one clear sentence. */

const { PATIENCE, addressOf, credentials, take } = first; // of first.js, which has run before any module

/** A response that is no success, or no response at all (status 0). `message` is a sentence for the reader. */
export class Problem extends Error {
  constructor(status, kind, message, errors = []) {
    super(message);
    this.status = status;
    this.kind = kind;
    this.errors = errors; // [{ where, rule }]
  }
}

/** The JSON of a request, of one that was sent early where there is one. Throws a `Problem`. */
export async function call(path, { method = "GET", query = {}, body, patience = PATIENCE } = {}) {
  const url = addressOf(path, query);
  const headers = { ...credentials(), ...(body && { "Content-Type": "application/json" }) };
  const signal = AbortSignal.timeout(patience);
  const early = method === "GET" ? take(url) : undefined;
  try {
    return await read(await (early ?? fetch(url, { method, headers, body: body && JSON.stringify(body), signal })));
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
