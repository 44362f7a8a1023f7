/** What users do with items; the weights are those of the service's `conf/data/service.yaml`. */
export type InteractionType = "view" | "click" | "like" | "save" | "share" | "rate" | "implement" | "dismiss";

export interface TrackerOptions {
  /** Whose events these are. Without one nothing is recorded until `identify`. */
  userId?: string;
  /** Origin of the service, such as "https://recommendations.example"; "" (default): the page's own. */
  url?: string;
  /** Headers of each request, such as `{ "X-API-Key": "..." }` or `{ Authorization: "Bearer ..." }`. */
  headers?: Record<string, string>;
  /** The user opted out: nothing is recorded, stored or sent. */
  optedOut?: boolean;
}

export interface EventOptions {
  /** `request_id` of the list that showed the item: the event then counts for the model version that made it. */
  requestId?: string;
  /** Stars of a rating (0.5 to 5), seconds of a view. */
  value?: number;
  /** At most 20 flat entries to store with the event. */
  context?: Record<string, string | number | boolean | null>;
}

export class Tracker {
  constructor(options: TrackerOptions);
  readonly userId: string | undefined;
  readonly optedOut: boolean;
  /** Sent with each request; may be changed at any time, for a key that was renewed. */
  headers: Record<string, string>;
  /** Whose events follow; views of the user before end here. */
  identify(userId: string | undefined, optedOut?: boolean): void;
  /** Record nothing more, and forget what is unsent of this user, in memory and in the browser's storage. */
  optOut(): void;
  /** Record one event. It is sent with the next batch: after 20 events or 5 seconds. */
  track(type: InteractionType, itemId: string, options?: EventOptions): void;
  /** Record a view of an item whenever half of the element was in sight for a second or more, with its seconds. */
  observe(element: Element, itemId: string, options?: EventOptions): void;
  /** Send now. Resolves to true once all events are stored, to false where some have to wait. Never rejects. */
  flush(): Promise<boolean>;
}
