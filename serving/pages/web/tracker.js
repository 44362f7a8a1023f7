/* Records what users do with items. One file to serve or copy; options and types: tracker.d.ts.

   const tracker = new Tracker({ userId: "42" });
   tracker.track("like", "2858", { requestId });     // requestId: of the list that showed the item
   tracker.observe(element, "2858", { requestId });  // a view, with its seconds on the screen

   Sends 20 events at once, or what there is after 5 s; retries with growing pauses; keeps unsent events for the
   next page. Each has an idempotency key: sent twice, it is stored once. Never throws. */

const BATCH = 20, PERIOD = 5000, NAME = "recstage-events";
const now = () => performance.now() / 1000;

export class Tracker {
  #queue = [];
  #views = new Map(); // element: { itemId, options, shown, since }
  #failures = 0;
  #size = BATCH;
  #observer = new IntersectionObserver((all) => all.forEach((one) => this.#seen(one)), { threshold: 0.5 });

  constructor({ userId, url = "", headers = {}, optedOut = false }) {
    this.url = url + "/api/interactions";
    this.headers = headers;
    try {
      this.#queue = JSON.parse(localStorage[NAME] ?? "[]");
    } catch {}
    this.identify(userId, optedOut);
    addEventListener("online", () => this.flush());
    addEventListener("pagehide", () => this.#leave());
    document.addEventListener("visibilitychange", () => {
      this.#views.forEach((view) => (document.hidden ? this.#end(view) : (view.since = view.shown && now())));
      this.flush();
    });
  }

  identify(userId, optedOut = false) {
    this.#views.forEach((view) => this.#end(view));
    this.userId = userId;
    this.optedOut = optedOut;
    if (optedOut) this.optOut();
    this.#later(PERIOD);
  }

  /* Record nothing more, and forget what is unsent. */
  optOut() {
    this.optedOut = true;
    this.#queue = this.#queue.filter((event) => event.user_id !== this.userId);
    this.#save();
  }

  track(type, itemId, { value, requestId, context } = {}) {
    if (this.optedOut || !this.userId) return;
    this.#queue.push({
      user_id: this.userId, item_id: itemId, interaction_type: type, value, context, request_id: requestId,
      occurred_at: new Date(), idempotency_key: crypto.getRandomValues(new Uint32Array(4)).join("-"),
    });
    if (this.#queue.length < BATCH) this.#later(PERIOD);
    else if (!this.#failures) this.flush();
  }

  observe(element, itemId, options) {
    this.#views.set(element, { itemId, options });
    this.#observer.observe(element);
  }

  /* Send now: a promise of true once all is stored, false where some waits. */
  flush() {
    this.timer = clearTimeout(this.timer);
    this.#save();
    return (this.sending ||= this.#send().catch(() => false).finally(() => {
      this.sending = 0;
      this.#save();
      if (this.#queue.length) this.#later(Math.min(60000, 500 * 2 ** this.#failures) * (0.7 + Math.random() / 2));
    }));
  }

  async #send() {
    while (this.#queue.length) {
      this.#failures++; // until it succeeds
      const batch = this.#queue.slice(0, this.#size);
      const response = await fetch(this.url, { ...this.#request(batch), signal: AbortSignal.timeout(10000) });
      const { ok, status } = response;
      if (!ok && (status > 499 || [401, 403, 408, 429].includes(status))) return false;
      this.#failures = 0;
      if (!ok && batch[1]) this.#size = 1; // which one is refused?
      else this.#queue = this.#queue.filter((event) => !batch.includes(event));
      const all = ok && (await response.json()).ignored === batch.length; // opted out
      if (all && batch.some((event) => event.user_id === this.userId)) this.optOut();
    }
    this.#size = BATCH;
    return true;
  }

  #request(events) {
    const headers = { "content-type": "application/json", ...this.headers };
    return { method: "POST", keepalive: true, headers, body: JSON.stringify({ events }) };
  }

  #leave() {
    this.#views.forEach((view) => this.#end(view));
    this.#save(); // for the next page
    const request = this.#request(this.#queue.slice(0, 200)); // at most 64 kB
    if (!this.#queue[0]) return;
    if (Object.keys(this.headers)[0]) fetch(this.url, request).catch(() => {});
    else navigator.sendBeacon(this.url, new Blob([request.body], { type: "application/json" }));
  }

  #later(pause) {
    this.timer ||= setTimeout(() => this.flush(), pause);
  }

  #seen({ target, isIntersecting }) {
    const view = this.#views.get(target);
    view.shown = isIntersecting;
    if (isIntersecting) view.since ||= now();
    else this.#end(view);
    if (!target.isConnected) this.#observer.unobserve(target), this.#views.delete(target);
  }

  #end(view) {
    const value = view.since ? Math.round((now() - view.since) * 10) / 10 : 0;
    view.since = 0;
    if (value >= 1) this.track("view", view.itemId, { ...view.options, value });
  }

  #save() {
    try {
      if (this.#queue.length) localStorage[NAME] = JSON.stringify(this.#queue.slice(-1000));
      else delete localStorage[NAME];
    } catch {}
  }
}
