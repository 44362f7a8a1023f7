// Types of the recstage API, written from its OpenAPI document by `make api-types`; do not edit.

/** An alert of the live figures. */
export interface AlertBody {
  /** as in conf/monitoring/alerts.yml */
  name: string;
  text: string;
}

/** Several events, stored together or not at all. */
export interface BatchBody {
  events: EventBody[];
}

/** The users, and the parameters of all their lists. */
export interface BatchListBody {
  /** items wanted; at most `max_limit` of the settings */
  limit?: number;
  /** as for recommendations */
  strategy?: string;
  /** maximal marginal relevance: 1 the model's order, 0 the most varied; none: the setting `diversity` */
  lambda?: number | null;
  /** items to leave out */
  exclude?: string[];
  /** only items of these categories */
  category?: string[];
  /** only items that match all of them, such as `price<=20 and tags=a|b` */
  filter?: string[];
  /** leave out items that the user has seen */
  exclude_seen?: boolean;
  /** a reason for each item */
  explain?: boolean;
  /** fields of the catalogue that each item carries: title, text, categories, or any attribute */
  fields?: string[];
  /** what is known of this request: features of versions that learned them */
  context?: Record<string, string | number | boolean | null> | null;
  /** attributes of the user, in place of the stored ones */
  profile?: Record<string, string | number | boolean | null> | null;
  /** at most `max_users` of the settings; one given twice counts once */
  user_ids: string[];
  /** the lists count as shown, and are stored as impressions */
  shown?: boolean;
}

/** The users, and the items to score for each of them. */
export interface BatchPredictBody {
  /** at most `max_users` of the settings */
  user_ids: string[];
  item_ids: string[];
  /** as for recommendations */
  strategy?: string;
}

/** Scores for each user, in the order of the request, each user's by exactly one model version. */
export interface BatchPredictionBody {
  item_ids: string[];
  users: UserScores[];
  /** null: made from the service's own data */
  model_version: string | null;
  /** made without live histories: the database was unavailable */
  degraded: boolean;
}

/** Items that the filter matches score higher, by `weight` times the range of the candidates' scores. */
export interface Boost {
  type: "boost";
  filter: string;
  /** 1 lifts the last candidate to the first */
  weight: number;
}

/** Items that the filter matches score lower, by `weight` times the range of the candidates' scores. */
export interface Bury {
  type: "bury";
  filter: string;
  /** 1 lowers the first candidate to the last */
  weight: number;
}

/** At most `most` items of a list have the same value of an attribute; of a list attribute, each of its values. */
export interface Cap {
  type: "cap";
  /** category, or any attribute of the catalogue */
  attribute: string;
  most: number;
}

/** All categories, those with the most items first. */
export interface CategoriesBody {
  categories: CategoryCount[];
  /** whose catalogue is part of it; null: of no version */
  model_version: string | null;
  /** hidden items and the service's catalogue are those last read: no database */
  degraded: boolean;
}

/** A category. */
export interface CategoryCount {
  name: string;
  /** items of it that can be listed: hidden ones are not counted */
  items: number;
}

/** The fields to change; the others stay. */
export interface ChangeBodyInput {
  title?: string;
  text?: string;
  categories?: string[];
  /** a hidden item is in no list */
  hidden?: boolean;
  /** null: never */
  expires_at?: string | null;
  /** numbers, booleans, texts and lists of texts, for filters and rules */
  attributes?: Record<string, unknown>;
}

/** One change of Production. */
export interface ChangeBodyOutput {
  /** null: nothing was Production from then on */
  version: string | null;
  previous: string | null;
  at: string;
  by: string;
  /** promote, rollback, stage, alias, deleted or unset */
  how: string;
  reason: string;
}

/** What one rule became in a version. */
export interface ChangeOfRuleBody {
  name: string;
  change: "create" | "update" | "delete" | "revert";
  /** null: it was deleted */
  rule: RuleContentBodyOutput | null;
}

/** Production was changed; every worker follows within two seconds. */
export interface ChangedBody {
  /** what is Production now */
  version: number;
  previous: number | null;
  /** passed, forced, or unchanged; null: a rollback, which asks no gate */
  gate: string | null;
  /** what the gate found */
  checks: string[];
}

/** The categories of one text, the most probable first. */
export interface ClassifiedBody {
  categories: LabelBody[];
  /** mean of the categories', that is, the share to expect right */
  confidence: number;
  /** whether a person should label it */
  uncertain: boolean;
}

/** One result a text, in their order. */
export interface ClassifiedTextsBody {
  model_version: string;
  results: ClassifiedBody[];
}

/** The texts, title first. */
export interface ClassifyBody {
  texts: string[];
}

/** Lists of one version in the last week, and those that led to a click or to more than a click. */
export interface ClickThroughBody {
  /** null: fallback models */
  version: string | null;
  lists: number;
  clicked: number;
  rate: number;
  /** 95 % interval of the rate (Wilson) */
  low: number;
  high: number;
}

/** Something that is wrong; docs/monitoring.md lists all. */
export interface ConditionBody {
  /** stable name, also in metrics and logs */
  name: string;
  /** the registered model it is of; null: the service */
  model: string | null;
  text: string;
  remedy: string;
}

/** Whether users choose other items now than in training; docs/pages.md says how it is measured. */
export interface DriftBody {
  verdict: "unknown" | "stable" | "noted" | "drifted";
  /** population stability index; null: too few events */
  psi: number | null;
  /** events of the last week */
  events: number;
  /** of the events: items that the version lacks */
  unknown_share: number | null;
  /** share of training interactions in ten groups of items, most popular first */
  then: number[];
  /** share of the events in the same groups */
  now: number[];
}

/** What was removed, and how far the erasure is. */
export interface ErasureBody {
  user_id: string;
  erased_at: string;
  /** null: the log of the database is not emptied yet, or the registered versions are being searched */
  finished_at: string | null;
  /** registered versions trained on this user; retrain and prune them to erase fully */
  trained_versions: TrainedVersion[];
  /** whether every registered version was checked */
  complete: boolean;
  incomplete_because: string | null;
  /** rows by table */
  removed: Record<string, number>;
}

/** How far an erasure is, and which registered versions were trained on the user. */
export interface ErasureStateBody {
  user_id: string;
  erased_at: string;
  /** null: the log of the database is not emptied yet, or the registered versions are being searched */
  finished_at: string | null;
  /** registered versions trained on this user; retrain and prune them to erase fully */
  trained_versions: TrainedVersion[];
  /** whether every registered version was checked */
  complete: boolean;
  incomplete_because: string | null;
}

/** One event of a user with an item; users and items that are unknown yet are created. */
export interface EventBody {
  user_id: string;
  item_id: string;
  interaction_type: "view" | "click" | "like" | "save" | "share" | "rate" | "implement" | "dismiss";
  /** seconds of a view, stars of a rating (0.5 to 5) */
  value?: number | null;
  /** when it happened; now, where it is missing */
  occurred_at?: string | null;
  /** any flat object */
  context?: Record<string, string | number | boolean | null> | null;
  /** the request_id of the list that led to it */
  request_id?: string | null;
  /** an event with a key that is known is not stored again */
  idempotency_key?: string | null;
}

/** No item that the filter matches is listed. */
export interface Exclude {
  type: "exclude";
  filter: string;
}

/** The experiment that the list is part of. */
export interface ExperimentBody {
  name: string;
  /** `production`, `challenger` or `interleaved` */
  arm: string;
  /** probability with which this arm was given */
  chance: number;
}

/** The experiment that this process follows: Production against the version in Staging. */
export interface ExperimentStateBody {
  name: string;
  /** `split`, `shadow`, `bandit`, `contextual` or `interleave` */
  mode: string;
  /** of the users, 0 to 1 */
  share: number;
  production: string;
  challenger: string;
}

/** A version that is staged and cannot be served. */
export interface Failing {
  version: string;
  reason: string;
  tries: number;
}

/** Outcomes of one list; items without an entry had none. */
export interface FeedbackBody {
  /** the request_id that the list came with */
  request_id: string;
  /** the user; needed only where the list may be unknown */
  user_id?: string | null;
  /** each (item, outcome) counts once */
  outcomes: OutcomeBody[];
}

/** The outcomes are on disk. */
export interface FeedbackReceiptBody {
  /** whether the list is known; false where its impressions were not kept (yet) */
  matched: boolean;
  /** the version that made the list */
  model_version: string | null;
  stored: number;
  /** outcomes that were known already */
  duplicates: number;
  /** outcomes of users about whom nothing is stored */
  ignored: number;
}

/** One field that broke a rule. */
export interface FieldError {
  where: string;
  rule: string;
}

/** At least a share of a list is new items, as far as there are so many. */
export interface Floor {
  type: "floor";
  /** which items are new */
  filter?: string;
  /** of the list, rounded up */
  share: number;
}

/** A page of events, newest first, and the preferences they show. */
export interface HistoryBody {
  user_id: string;
  events: PastEventBody[];
  /** the `cursor` of the next page; null: no more */
  next: string | null;
  /** what the served version was trained on of this user, newest first, at most `limit`; on page one, and never of users who opted out or were erased */
  trained: TrainedRowBody[];
  /** share of each category in what this user liked, greatest first */
  preferences: Record<string, number>;
}

/** Only items that the filter matches are listed. */
export interface Include {
  type: "include";
  filter: string;
}

/** The items are on disk; every worker lists or hides them accordingly. */
export interface IngestedBody {
  created: number;
  /** items that were known, even if only by events */
  replaced: number;
}

/** A complete item; fields that are not given are empty. */
export interface ItemBody {
  item_id: string;
  title?: string;
  text?: string;
  categories?: string[];
  /** a hidden item is in no list */
  hidden?: boolean;
  /** it is not served from this time on */
  expires_at?: string | null;
  /** numbers, booleans, texts and lists of texts, for filters and rules */
  attributes?: Record<string, unknown>;
}

/** Several items, stored together or not at all. */
export interface ItemsBody {
  items: ItemBody[];
}

/** An item as the catalogue knows it. */
export interface KnownItemBody {
  item_id: string;
  title: string;
  text: string;
  categories: string[];
  /** confidences, where the classifier gave the categories; null where a person did */
  predicted?: Record<string, number> | null;
  hidden: boolean;
  /** null: never */
  expires_at: string | null;
  deleted: boolean;
  attributes: Record<string, unknown>;
}

/** The declared profile of a user, and since when. */
export interface KnownProfileBody {
  user_id: string;
  role: string | null;
  /** preferred categories, strongest first */
  categories: string[];
  /** by name */
  attributes: Record<string, unknown>;
  opted_out: boolean;
  known_since: string | null;
  /** null: nothing was ever declared */
  changed_at: string | null;
}

/** A category and how probable it is. */
export interface LabelBody {
  category: string;
  confidence: number;
}

/** The least sure items first. */
export interface LabelQueueBody {
  items: UncertainBody[];
}

/** They are stored, and the next training learns from them. */
export interface LabelledBody {
  item_id: string;
  categories: string[];
}

/** A candidate that is not in the list. */
export interface LeftOut {
  item_id: string;
  /** unknown to the served version; hidden; excluded by the request; seen; of another category, or not matched by a filter; ruled out by a business rule */
  cause: "unknown" | "hidden" | "seen" | "excluded" | "filtered" | "rule";
}

/** A list for each user, in the order of the request; in an experiment by the version of each user's group. */
export interface ListsBody {
  lists: RecommendationsBody[];
}

/** The process responds. */
export interface Live {
  status?: "live";
}

/** The last five minutes; where the page was just opened, since the service started. */
export interface LiveBody {
  /** length of the window */
  seconds: number;
  lists: number;
  /** milliseconds; null: no list was requested */
  p50: number | null;
  p95: number | null;
  p99: number | null;
  /** requests that ended in a 5xx */
  failed: number;
  /** lists by the model used */
  methods: Record<string, number>;
  /** lists made without something, by what */
  fallbacks: Record<string, number>;
  /** requests refused before a route */
  refused: Record<string, number>;
  cache_hits: number;
  cache_misses: number;
  /** events stored */
  events: number;
  /** readings of the last half hour, oldest first */
  points: PointBody[];
}

/** The model that serves; without a version it is made from the service's own data. What is marked (details) is there with `details=true` only. */
export interface ModelBody {
  name: string;
  /** null: models made from the service's own data */
  version: string | null;
  algorithm: string;
  /** when this process swapped it in */
  served_since: string;
  /** null: fallback models serve */
  promotion: Promotion | null;
  /** Production in the registry at the last poll; null: none */
  staged_version: string | null;
  /** when it was trained */
  created_at: string | null;
  /** what it was trained on */
  data_set: string | null;
  /** a few of its figures on test rows that it never saw */
  metrics: Record<string, number>;
  /** users it was trained on */
  n_users: number;
  /** items it can list */
  n_items: number;
  /** a staged version that cannot be served, and why */
  failing: Failing | null;
  /** null: no version in Staging, or it is in none */
  experiment: ExperimentStateBody | null;
  /** what is wrong, one sentence each */
  degraded: string[];
  /** the same, with names and remedies */
  conditions: ConditionBody[];
  /** (details) strategies that this version has models for */
  methods?: string[] | null;
  /** (details) when the registry was last polled */
  registry_looked_at?: string | null;
  /** (details) time of the newest interaction it was trained on */
  trained_until?: number | null;
  /** (details) the training, as recorded in the bundle: data, split, all metrics, run */
  data?: Record<string, unknown> | null;
  /** (details) the model that ranks users for an item */
  reverse?: ReverseModelBody | null;
}

/** The categories that a person gives an item; they replace the predicted ones for good. */
export interface NewLabelsBody {
  item_id: string;
  categories: string[];
  /** take categories that no item has yet */
  new?: boolean;
}

/** A new rule; its name stays for good, and lists tell it in `rules_applied`. */
export interface NewRuleBody {
  action: Exclude | Include | Cap | Pin | Boost | Bury | Floor | Objective;
  /** the lists it holds for; all by default */
  target?: Target;
  /** from when on; null: at once */
  starts_at?: string | null;
  /** until when; null: until it is deleted */
  ends_at?: string | null;
  enabled?: boolean;
  /** for other editors */
  note?: string;
  name: string;
}

/** A further aim beside relevance: items move by their place among all items in one number of theirs. */
export interface Objective {
  type: "objective";
  /** a number or a boolean of the catalogue, or age_days */
  attribute: string;
  /** above 0: more is better, below: less; 1 weighs as much as the range of the candidates' scores */
  weight: number;
}

/** The state of the service in one response. What cannot be read now is null, and `conditions` says why. */
export interface OperationsBody {
  /** of the caller: an admin may promote and roll back */
  role: string;
  /** null: neither a version nor data to make lists from */
  served: ServedBody | null;
  /** null: the service follows no registry, or has not read it yet */
  registry: RegistryBody | null;
  /** what is wrong now */
  conditions: ConditionBody[];
  /** what the live figures give rise to */
  alerts: AlertBody[];
  live: LiveBody;
  /** null: without a database */
  click_through: ClickThroughBody[] | null;
  /** null: without a database */
  drift: DriftBody | null;
}

/** What was done with one item of the list. */
export interface OutcomeBody {
  item_id: string;
  outcome: "view" | "click" | "like" | "save" | "share" | "rate" | "implement" | "dismiss";
  /** seconds of a view, stars of a rating */
  value?: number | null;
  /** when it happened; now, where it is missing */
  occurred_at?: string | null;
}

/** An event of this user. */
export interface PastEventBody {
  item_id: string;
  interaction_type: string;
  /** seconds of a view, stars of a rating */
  value: number | null;
  occurred_at: string;
  context: Record<string, unknown> | null;
  /** of the list that led to it */
  request_id: string | null;
}

/** An item at a rank. Hidden, excluded and seen items are not shown, pinned or not. */
export interface Pin {
  type: "pin";
  item_id: string;
  /** 1 is the first */
  rank: number;
}

/** One point of the chart. */
export interface PointBody {
  at: string;
  /** lists a second */
  rate: number;
  /** milliseconds */
  p95: number | null;
}

/** The user, and the items to score. */
export interface PredictBody {
  user_id: string;
  item_ids: string[];
  /** as for recommendations */
  strategy?: string;
}

/** Scores in the order of the request, by exactly one model version: in a split that of the user's group. */
export interface PredictionBody {
  user_id: string;
  items: ScoredItem[];
  /** a model, `popularity`, or `preferences` (declared ones) */
  method_used: string;
  /** null: made from the service's own data */
  model_version: string | null;
  /** made without the live history (no database), or without the strategy asked for */
  degraded: boolean;
}

/** The body of every error response (RFC 9457). */
export interface ProblemBody {
  /** stable name of the kind of problem */
  type: string;
  title: string;
  status: number;
  detail: string;
  /** the path of the request */
  instance: string;
  request_id?: string | null;
  /** each field that broke a rule */
  errors?: FieldError[] | null;
}

/** The profile a user declares. */
export interface ProfileBody {
  role?: string | null;
  /** preferred categories, strongest first */
  categories?: string[];
  /** texts, numbers and truth values by name: `@profile.NAME` of filters and rules, features of versions that learned them */
  attributes?: Record<string, string | number | boolean | null>;
  /** no personalisation: popularity only, and nothing personal is recorded */
  opted_out?: boolean;
}

/** Which version is to be Production, and why. */
export interface PromoteBody {
  version: string;
  /** why, for the history */
  reason: string;
  /** promote even if the gate refuses; that is recorded */
  force?: boolean;
}

/** The registry operation that made the version Production. */
export interface Promotion {
  at: string | null;
  by: string | null;
  reason: string | null;
  /** where a rollback, or a deletion of this version, leads; null: nowhere */
  previous_version: string | null;
}

/** The user, the candidates, and the parameters of the list. */
export interface RankBody {
  /** of the best; null: all of them */
  limit?: number | null;
  /** as for recommendations */
  strategy?: string;
  /** maximal marginal relevance: 1 the model's order, 0 the most varied; none: the setting `diversity` */
  lambda?: number | null;
  /** items to leave out */
  exclude?: string[];
  /** only items of these categories */
  category?: string[];
  /** only items that match all of them, such as `price<=20 and tags=a|b` */
  filter?: string[];
  /** leave out candidates that the user has seen */
  exclude_seen?: boolean;
  /** a reason for each item */
  explain?: boolean;
  /** fields of the catalogue that each item carries: title, text, categories, or any attribute */
  fields?: string[];
  /** what is known of this request: features of versions that learned them */
  context?: Record<string, string | number | boolean | null> | null;
  /** attributes of the user, in place of the stored ones */
  profile?: Record<string, string | number | boolean | null> | null;
  user_id: string;
  /** candidates; one that is given twice counts once */
  items: string[];
}

/** The candidates, best first, ordered by exactly one model version. */
export interface RankedBody {
  user_id: string;
  items: RecommendedItem[];
  /** candidates that are not listed, and why */
  left_out: LeftOut[];
  /** a model, `popularity`, or `preferences` (declared ones) */
  method_used: string;
  /** null: made from the service's own data */
  model_version: string | null;
  /** 1 minus the mean similarity of the items' pairs; null for fewer than two items */
  diversity_score: number | null;
  /** business rules that had a part in this list, by name */
  rules_applied: string[];
  /** made without the live history: the database was unavailable */
  degraded: boolean;
  /** null: outside any experiment */
  experiment: ExperimentBody | null;
  /** to be sent with feedback on this list */
  request_id: string;
  /** names of `context` and `profile` that the version does not look at, and values that it was not trained with; only where there are any */
  unlearned?: string[] | null;
}

/** One item of a list made for a user. */
export interface RankedItem {
  item_id: string;
  /** comparable within one list only */
  score: number;
  title?: string | null;
  reason?: string | null;
  /** those that the request named */
  fields?: Record<string, unknown> | null;
  /** 1 is the best */
  rank: number;
  /** chance with which the item is shown at this rank */
  propensity?: number;
}

/** The service can make lists. `degraded`: what is unavailable, and what it does without. */
export interface Ready {
  status?: "ready";
  /** null: fallback models serve */
  model_version: string | null;
  /** what is wrong, one sentence each */
  degraded: string[];
  /** the same, with names and remedies */
  conditions: ConditionBody[];
}

/** The events are on disk. */
export interface ReceiptBody {
  /** events that are new */
  stored: number;
  /** events whose idempotency key was known */
  duplicates: number;
  /** events of users who opted out, or from before they were erased: nothing was kept */
  ignored: number;
}

/** A list, best item first, made by exactly one model version. */
export interface RecommendationsBody {
  user_id: string;
  items: RankedItem[];
  /** a model, `popularity`, or `preferences` (declared ones) */
  method_used: string;
  /** null: made from the service's own data */
  model_version: string | null;
  /** 1 minus the mean similarity of the items' pairs; null for fewer than two items */
  diversity_score: number | null;
  /** business rules that had a part in this list, by name */
  rules_applied: string[];
  /** made without the live history (no database), or without the strategy asked for */
  degraded: boolean;
  /** null: outside any experiment */
  experiment: ExperimentBody | null;
  /** to be sent with feedback on this list */
  request_id: string;
  /** names of `context` and `profile` that the version does not look at, and values that it was not trained with; only where there are any */
  unlearned?: string[] | null;
  /** the `cursor` of the next page; null: no more. Only where the request has a `cursor` */
  next?: string | null;
}

/** One item of a list. */
export interface RecommendedItem {
  item_id: string;
  /** comparable within one list only */
  score: number;
  title?: string | null;
  reason?: string | null;
  /** those that the request named */
  fields?: Record<string, unknown> | null;
}

/** One user. */
export interface RecommendedUser {
  user_id: string;
  /** comparable within one list only */
  score: number;
}

/** Users to whom the item should be recommended, best first, by exactly one model version. */
export interface RecommendedUsersBody {
  item_id: string;
  users: RecommendedUser[];
  /** the reverse model; content or activity where too few users liked the item */
  method_used: string;
  model_name: string;
  model_version: string | null;
}

/** The registry, as the sync process last copied it. */
export interface RegistryBody {
  copied_at: string;
  /** newest first */
  versions: VersionBody[];
  /** newest first, at most 20 */
  changes: ChangeBodyOutput[];
}

/** A poll of the registry was requested. */
export interface Reloading {
  status?: string;
  /** the version that serves now */
  version: string | null;
}

/** The model that ranks users for an item; without a version they are ranked by content. */
export interface ReverseModelBody {
  name: string;
  /** null: none is served; users are ranked by content */
  version: string | null;
  algorithm: string | null;
  /** when this process swapped it in */
  served_since: string | null;
  /** null: none is served */
  promotion: Promotion | null;
  /** Production in the registry at the last poll; null: none */
  staged_version: string | null;
  /** when the registry was last polled */
  registry_looked_at: string | null;
  /** time of the newest interaction it was trained on */
  trained_until: number | null;
  /** items it can rank users for */
  n_items: number | null;
  /** users it can list */
  n_users: number | null;
  /** a staged version that cannot be served, and why */
  failing: Failing | null;
}

/** Where to go back to, and why. */
export interface RollbackBody {
  /** a version; null: what was Production before */
  to?: string | null;
  /** why, for the history */
  reason: string;
}

/** A rule as it is. */
export interface RuleBody {
  name: string;
  action: Exclude | Include | Cap | Pin | Boost | Bury | Floor | Objective;
  target: Target;
  /** null: at once */
  starts_at: string | null;
  /** null: until it is deleted */
  ends_at: string | null;
  enabled: boolean;
  note: string;
  /** whether it holds now */
  state: "active" | "scheduled" | "ended" | "disabled";
  /** of all rules, when this one was changed last */
  version: number;
  changed_at: string;
  /** name of the API key, or token */
  changed_by: string;
}

/** A rule without its name. */
export interface RuleContentBodyInput {
  action: Exclude | Include | Cap | Pin | Boost | Bury | Floor | Objective;
  /** the lists it holds for; all by default */
  target?: Target;
  /** from when on; null: at once */
  starts_at?: string | null;
  /** until when; null: until it is deleted */
  ends_at?: string | null;
  enabled?: boolean;
  /** for other editors */
  note?: string;
}

/** A rule without its name. */
export interface RuleContentBodyOutput {
  action: Exclude | Include | Cap | Pin | Boost | Bury | Floor | Objective;
  /** the lists it holds for; all by default */
  target?: Target;
  /** from when on; null: at once */
  starts_at?: string | null;
  /** until when; null: until it is deleted */
  ends_at?: string | null;
  enabled?: boolean;
  /** for other editors */
  note?: string;
}

/** All rules, in the order of their names. */
export interface RulesBody {
  /** of the rules: every change makes one */
  version: number;
  rules: RuleBody[];
}

/** The change is on disk, and holds for the next list of every worker. */
export interface RulesChangedBody {
  /** of the rules, after the change */
  version: number;
}

/** A version of the rules: what changed, when, and by whom. */
export interface RulesVersionBody {
  version: number;
  changed_at: string;
  changed_by: string;
  changes: ChangeOfRuleBody[];
}

/** A page of versions, newest first. */
export interface RulesVersionsBody {
  versions: RulesVersionBody[];
  /** `before` of the next page; null: no more */
  next: number | null;
}

/** A user that the served version was trained on. */
export interface SampleUser {
  user_id: string;
  /** interactions it was trained on */
  interactions: number;
}

/** An item and its score. */
export interface ScoredItem {
  item_id: string;
  /** comparable within one response only */
  score: number;
}

/** The version that serves. */
export interface ServedBody {
  /** null: models made from the service's own data */
  version: string | null;
  algorithm: string;
  /** when this process swapped it in */
  served_since: string;
  /** null: fallback models serve */
  promotion: Promotion | null;
  trained_at: string | null;
  n_users: number;
  n_items: number;
}

/** The caller and the service, as a page needs to know them. */
export interface SessionBody {
  /** what the caller may do */
  role: "client" | "service" | "admin";
  /** name of the key, or `open` where none is needed */
  name: string;
  /** the user of the caller's token; null: any */
  user_id: string | null;
  /** whether the service wants a key or token */
  guarded: boolean;
  /** whether events and profiles can be stored */
  database: boolean;
  /** null: fallback models serve, or nothing */
  model_version: string | null;
  /** some users with long, usual and short histories; empty below the role service */
  users: SampleUser[];
  /** those of most items, at most 50 */
  categories: string[];
}

/** The history, and the parameters of the list. */
export interface SessionHistoryBody {
  /** items wanted; at most `max_limit` of the settings */
  limit?: number;
  /** as for recommendations */
  strategy?: string;
  /** maximal marginal relevance: 1 the model's order, 0 the most varied; none: the setting `diversity` */
  lambda?: number | null;
  /** items to leave out */
  exclude?: string[];
  /** only items of these categories */
  category?: string[];
  /** only items that match all of them, such as `price<=20 and tags=a|b` */
  filter?: string[];
  /** leave out items that the user has seen */
  exclude_seen?: boolean;
  /** a reason for each item */
  explain?: boolean;
  /** fields of the catalogue that each item carries: title, text, categories, or any attribute */
  fields?: string[];
  /** what is known of this request: features of versions that learned them */
  context?: Record<string, string | number | boolean | null> | null;
  /** attributes of the user, in place of the stored ones */
  profile?: Record<string, string | number | boolean | null> | null;
  items: SessionItem[];
  /** store the items as events of this user, and the list as shown to them; null: nothing is stored */
  store_as?: string | null;
  /** the type of the events that `store_as` stores */
  store_type?: "view" | "click" | "like" | "save" | "share" | "rate" | "implement" | "dismiss";
}

/** An item of the session. */
export interface SessionItem {
  item_id: string;
  /** how much it was liked; 0 or less: dismissed, it counts as seen alone */
  weight?: number;
  /** when; without it the items are in their order, oldest first */
  occurred_at?: string | null;
}

/** A list, best item first, made by exactly one model version. */
export interface SessionListBody {
  /** `store_as` of the request */
  user_id: string | null;
  items: RecommendedItem[];
  /** items of the session that were of no use */
  unknown_items: string[];
  /** a model, or `popularity` */
  method_used: string;
  /** null: made from the service's own data */
  model_version: string | null;
  /** 1 minus the mean similarity of the items' pairs; null for fewer than two items */
  diversity_score: number | null;
  /** business rules that had a part in this list, by name */
  rules_applied: string[];
  /** hidden items are those last read, because the database was unavailable */
  degraded: boolean;
  /** to be sent with feedback on this list */
  request_id: string;
  /** names of `context` and `profile` that the version does not look at, and values that it was not trained with; only where there are any */
  unlearned?: string[] | null;
}

/** Which users the version in Staging is shown to. */
export interface ShareBody {
  /** of the users; 0 ends the experiment */
  share: number;
  /** how the two are compared */
  mode?: "split" | "shadow" | "bandit" | "contextual" | "interleave";
}

/** The experiment as the service follows it, within two seconds. */
export interface ShareSetBody {
  experiment: string;
  production: number;
  challenger: number;
  share: number;
  mode: string;
}

/** Items similar to the given ones, most similar first, by exactly one model version. */
export interface SimilarItemsBody {
  /** the item, and the rest of the basket */
  item_ids: string[];
  /** `score` is the mean cosine with the given items */
  items: RecommendedItem[];
  /** what similarity is made of: item vectors, categories, or co-occurrence */
  method_used: string;
  /** null: made from the service's own data */
  model_version: string | null;
  /** 1 minus the mean similarity of the items' pairs; null for fewer than two items */
  diversity_score: number | null;
  /** business rules that had a part in this list, by name */
  rules_applied: string[];
  /** hidden items are those last read, because the database was unavailable */
  degraded: boolean;
  /** null where the request names no user */
  user_id: string | null;
  /** to be sent with feedback on this list */
  request_id: string;
  /** the `cursor` of the next page, where the request has a `cursor` */
  next?: string | null;
}

/** Statistics of an item. */
export interface StatisticsBody {
  item_id: string;
  /** events */
  total: number;
  /** events by type */
  counts: Record<string, number>;
  /** distinct users with an event */
  users: number;
  /** times it was in a list */
  shown: number;
  /** lists that led to a click on it */
  clicked: number;
  /** clicked / shown; null before it was shown */
  click_through_rate: number | null;
  /** share of its users who implemented it */
  implementation_rate: number | null;
  /** mean weight of its events */
  mean_label: number | null;
}

/** The lists that a rule holds for; what is empty stands for all. */
export interface Target {
  /** kinds of lists */
  lists?: ("recommendations" | "similar" | "popular" | "trending" | "latest" | "session" | "rank" | "batch")[];
  /** segments of users */
  segments?: ("cold" | "warm" | "hot")[];
  /** lists filtered to one of these categories */
  categories?: string[];
}

/** An interaction that the served version was trained on. */
export interface TrainedRowBody {
  item_id: string;
  /** 0 or less: seen, and not liked */
  weight: number;
  occurred_at: string;
}

/** A registered version that was trained on this user. */
export interface TrainedVersion {
  name: string;
  version: string;
}

/** A list, best item first. */
export interface TrendsBody {
  items: RecommendedItem[];
  /** popular where nothing is trending, popularity (in training) where no event is in the window */
  method_used: "popular" | "trending" | "latest" | "popularity";
  /** null: made from live events or the catalogue */
  model_version: string | null;
  /** 1 minus the mean similarity of the items' pairs; null for fewer than two items */
  diversity_score: number | null;
  /** business rules that had a part in this list, by name */
  rules_applied: string[];
  /** events or hidden items are those last read: the database was unavailable */
  degraded: boolean;
  /** null where the request names no user */
  user_id: string | null;
  /** to be sent with feedback on this list */
  request_id: string;
  /** the `cursor` of the next page, where the request has a `cursor` */
  next?: string | null;
}

/** An item that waits for a person's label. */
export interface UncertainBody {
  item_id: string;
  title: string;
  text: string;
  /** categories with their confidences */
  predicted: Record<string, number>;
  confidence: number;
  model_version: string;
}

/** What is learned of a user from training and from events up to now; all empty where they opted out. */
export interface UserPatternsBody {
  user_id: string;
  /** share of each category in what this user liked, by weight, greatest first */
  taste: Record<string, number>;
  /** items that the taste is made from */
  liked: number;
  /** live events, at most the newest 2,000 */
  events: number;
  /** these events by type */
  by_type: Record<string, number>;
  /** by hour of the day, UTC, from 0 */
  by_hour: number[];
  /** by day of the week, Monday first */
  by_weekday: number[];
  /** days (UTC) with an event */
  active_days: number;
  /** of the last event */
  last_at: string | null;
  /** when this was learned */
  updated_at: string;
}

/** The scores of one user, in the order of the items. */
export interface UserScores {
  user_id: string;
  /** comparable within one user only */
  scores: number[];
  /** a model, `popularity`, or `preferences` (declared ones) */
  method_used: string;
  /** in a split the one of the user's group */
  model_version: string | null;
}

/** Counts and rates of a user's events. */
export interface UserStatisticsBody {
  user_id: string;
  /** events */
  total: number;
  /** events by type */
  counts: Record<string, number>;
  /** distinct items with an event */
  items: number;
  /** share of these items that were implemented */
  implementation_rate: number | null;
  /** mean weight of the events; null without one */
  mean_engagement: number | null;
  /** of the first event */
  first_at: string | null;
  /** of the last event */
  last_at: string | null;
}

/** A registered version, as the registry had it when it was last copied. */
export interface VersionBody {
  version: string;
  /** Production, Staging, Archived or None */
  stage: string;
  algorithm: string;
  created_at: string;
  data: string;
  /** whether it was tested on the same rows as Production */
  comparable: boolean;
  /** metrics of its test rows */
  figures: Record<string, number>;
  /** passed, refused or forced; empty before it was judged */
  gate: string;
  gate_at: string;
  gate_reasons: string[];
  /** tags of its experiment */
  experiment: Record<string, string>;
}

/** Each operation: its method, path, parameters, body and answer. */
export interface Operations {
  /** The categories of the service's catalogue and of the served version, with their numbers of items. */
  categories: {
    method: "GET";
    path: "/api/categories";
    pathParameters: {};
    queryParameters: {};
    body: never;
    answer: CategoriesBody;
  };
  /** Change an item. Once this responds, a hidden item is in no list of any worker. */
  change_item: {
    method: "PATCH";
    path: "/api/items/{item_id}";
    pathParameters: { item_id: string };
    queryParameters: {};
    body: ChangeBodyInput;
    answer: KnownItemBody;
  };
  /** Change a rule as a whole: what is not given becomes the default. */
  change_rule: {
    method: "PUT";
    path: "/api/rules/{name}";
    pathParameters: { name: string };
    queryParameters: {};
    body: RuleContentBodyInput;
    answer: RuleBody;
  };
  /** Categories with calibrated confidences; 503 while no version of the classifier is Production. */
  classify: {
    method: "POST";
    path: "/api/classify";
    pathParameters: {};
    queryParameters: {};
    body: ClassifyBody;
    answer: ClassifiedTextsBody;
  };
  /** Add a rule. Once this responds, it holds for the next list of every worker. */
  create_rule: {
    method: "POST";
    path: "/api/rules";
    pathParameters: {};
    queryParameters: {};
    body: NewRuleBody;
    answer: RuleBody;
  };
  /** Delete an item: it is never served again and its data are removed; its events stay. */
  delete_item: {
    method: "DELETE";
    path: "/api/items/{item_id}";
    pathParameters: { item_id: string };
    queryParameters: {};
    body: never;
    answer: void;
  };
  /** Delete a rule; its history stays, and a revert brings it back. */
  delete_rule: {
    method: "DELETE";
    path: "/api/rules/{name}";
    pathParameters: { name: string };
    queryParameters: {};
    body: never;
    answer: RulesChangedBody;
  };
  /** Erase a user: events, impressions, feedback, lists, profile. */
  delete_user: {
    method: "DELETE";
    path: "/api/users/{user_id}";
    pathParameters: { user_id: string };
    queryParameters: {};
    body: never;
    answer: ErasureBody;
  };
  /** Show the version in Staging to a share of the users, or end that with a share of 0. */
  experiment: {
    method: "POST";
    path: "/api/operations/experiment";
    pathParameters: {};
    queryParameters: {};
    body: ShareBody;
    answer: ShareSetBody;
  };
  /** How far the last erasure of a user is. */
  get_erasure: {
    method: "GET";
    path: "/api/users/{user_id}/erasure";
    pathParameters: { user_id: string };
    queryParameters: {};
    body: never;
    answer: ErasureStateBody;
  };
  /** An item as lists know it: by the service's catalogue, and by that of the served version where it says nothing. */
  get_item: {
    method: "GET";
    path: "/api/items/{item_id}";
    pathParameters: { item_id: string };
    queryParameters: {};
    body: never;
    answer: KnownItemBody;
  };
  /** The declared profile of a user. */
  get_profile: {
    method: "GET";
    path: "/api/users/{user_id}/profile";
    pathParameters: { user_id: string };
    queryParameters: {};
    body: never;
    answer: KnownProfileBody;
  };
  /** A rule. */
  get_rule: {
    method: "GET";
    path: "/api/rules/{name}";
    pathParameters: { name: string };
    queryParameters: {};
    body: never;
    answer: RuleBody;
  };
  /** Items similar to this one, or to all items of a basket. Hidden items are never listed. */
  get_similar_items: {
    method: "GET";
    path: "/api/items/{item_id}/similar";
    pathParameters: { item_id: string };
    queryParameters: { limit?: number; basket?: string[]; lambda?: number; exclude?: string[]; category?: string[]; filter?: string[]; explain?: boolean; fields?: string; cursor?: string | null; user_id?: string | null };
    body: never;
    answer: SimilarItemsBody;
  };
  /** Counts by type, click-through rate, implementation rate, mean label. */
  item_statistics: {
    method: "GET";
    path: "/api/items/{item_id}/stats";
    pathParameters: { item_id: string };
    queryParameters: {};
    body: never;
    answer: StatisticsBody;
  };
  /** Label an item: it leaves the queue, and `mlflow run . -e classifier -P data=service` learns from it. */
  label_item: {
    method: "POST";
    path: "/api/classifier/labels";
    pathParameters: {};
    queryParameters: {};
    body: NewLabelsBody;
    answer: LabelledBody;
  };
  /** Items that a person should label, the least sure first. */
  label_queue: {
    method: "GET";
    path: "/api/classifier/queue";
    pathParameters: {};
    queryParameters: { limit?: number };
    body: never;
    answer: LabelQueueBody;
  };
  /** The items that were first known last: by their first interaction in training, or when they were posted. */
  latest: {
    method: "GET";
    path: "/api/latest";
    pathParameters: {};
    queryParameters: { limit?: number; window?: "hour" | "day" | "week" | "month" | null; category?: string[]; filter?: string[]; exclude?: string[]; explain?: boolean; fields?: string; cursor?: string | null; user_id?: string | null };
    body: never;
    answer: TrendsBody;
  };
  /** All rules, whether or not they hold now. */
  list_rules: {
    method: "GET";
    path: "/api/rules";
    pathParameters: {};
    queryParameters: {};
    body: never;
    answer: RulesBody;
  };
  /** Whether the process responds; touches nothing else. */
  live: {
    method: "GET";
    path: "/health/live";
    pathParameters: {};
    queryParameters: {};
    body: never;
    answer: Live;
  };
  /** The model that serves now: what it is, since when and why, what it reached, and what is wrong. */
  model: {
    method: "GET";
    path: "/api/model";
    pathParameters: {};
    queryParameters: { details?: boolean };
    body: never;
    answer: ModelBody;
  };
  /** What is served, why, and how well. */
  operations: {
    method: "GET";
    path: "/api/operations";
    pathParameters: {};
    queryParameters: {};
    body: never;
    answer: OperationsBody;
  };
  /** The items that most users chose within the window, each user once; recent choices count more. */
  popular: {
    method: "GET";
    path: "/api/popular";
    pathParameters: {};
    queryParameters: { limit?: number; window?: "hour" | "day" | "week" | "month"; category?: string[]; filter?: string[]; exclude?: string[]; explain?: boolean; fields?: string; cursor?: string | null; user_id?: string | null };
    body: never;
    answer: TrendsBody;
  };
  /** Store the outcomes of a shown list, joined to its impressions by the request id. */
  post_feedback: {
    method: "POST";
    path: "/api/recommendations/feedback";
    pathParameters: {};
    queryParameters: {};
    body: FeedbackBody;
    answer: FeedbackReceiptBody;
  };
  /** Store one event or a batch; the response is sent once they are on disk. */
  post_interactions: {
    method: "POST";
    path: "/api/interactions";
    pathParameters: {};
    queryParameters: {};
    body: EventBody | BatchBody;
    answer: ReceiptBody;
  };
  /** Store one item or several, replacing their earlier versions; a deleted item is restored. */
  post_items: {
    method: "POST";
    path: "/api/items";
    pathParameters: {};
    queryParameters: {};
    body: ItemBody | ItemsBody;
    answer: IngestedBody;
  };
  /** Scores of the given items for one user, comparable with each other. Unknown items are refused by name. */
  predict: {
    method: "POST";
    path: "/api/predict";
    pathParameters: {};
    queryParameters: {};
    body: PredictBody;
    answer: PredictionBody;
  };
  /** Scores of the same items for many users. Unknown items are refused by name. */
  predict_for_many: {
    method: "POST";
    path: "/api/predict/batch";
    pathParameters: {};
    queryParameters: {};
    body: BatchPredictBody;
    answer: BatchPredictionBody;
  };
  /** Make a version Production, if the gate of conf/promotion.yaml allows; a 409 has its reasons under `errors`. */
  promote: {
    method: "POST";
    path: "/api/operations/promote";
    pathParameters: {};
    queryParameters: {};
    body: PromoteBody;
    answer: ChangedBody;
  };
  /** Replace the declared profile of a user; it takes effect with the next request. */
  put_profile: {
    method: "PUT";
    path: "/api/users/{user_id}/profile";
    pathParameters: { user_id: string };
    queryParameters: {};
    body: ProfileBody;
    answer: KnownProfileBody;
  };
  /** The caller's candidates in the order of the user's preference, with scores; hidden items are left out. */
  rank: {
    method: "POST";
    path: "/api/rank";
    pathParameters: {};
    queryParameters: {};
    body: RankBody;
    answer: RankedBody;
  };
  /** Whether recommendations can be made. */
  ready: {
    method: "GET";
    path: "/health/ready";
    pathParameters: {};
    queryParameters: {};
    body: never;
    answer: Ready;
  };
  /** The lists of many users, ranked together; each equals the list that the user would get alone. */
  recommend_to_many: {
    method: "POST";
    path: "/api/recommendations/batch";
    pathParameters: {};
    queryParameters: {};
    body: BatchListBody;
    answer: ListsBody;
  };
  /** A list from a history in the request, without a user. Nothing is stored unless `store_as` asks for it. */
  recommend_to_session: {
    method: "POST";
    path: "/api/recommendations/session";
    pathParameters: {};
    queryParameters: {};
    body: SessionHistoryBody;
    answer: SessionListBody;
  };
  /** The best items for a user, from their history up to now; popularity for an unknown user. */
  recommendations: {
    method: "GET";
    path: "/api/recommendations";
    pathParameters: {};
    queryParameters: { user_id: string; limit?: number; strategy?: string; lambda?: number | null; exclude?: string[]; category?: string[]; filter?: string[]; exclude_seen?: boolean; explain?: boolean; fields?: string; context?: Record<string, unknown>; profile?: Record<string, unknown>; cursor?: string | null };
    body: never;
    answer: RecommendationsBody;
  };
  /** Users to whom an item should be recommended. Users who opted out or were erased are never listed. */
  recommended_users: {
    method: "GET";
    path: "/api/items/{item_id}/recommended-users";
    pathParameters: { item_id: string };
    queryParameters: { limit?: number; role?: string | null; segment?: "cold" | "warm" | "hot" | null; exclude_known?: boolean; min_likes?: number | null; min_score?: number | null };
    body: never;
    answer: RecommendedUsersBody;
  };
  /** Poll the registry now, and try again versions that failed, in every worker. */
  reload: {
    method: "POST";
    path: "/api/model/reload";
    pathParameters: {};
    queryParameters: {};
    body: never;
    answer: Reloading;
  };
  /** Bring back all rules as they were at a version, as a new version; nothing is lost. */
  revert_rules: {
    method: "POST";
    path: "/api/rules/versions/{version}/revert";
    pathParameters: { version: number };
    queryParameters: {};
    body: never;
    answer: RulesChangedBody;
  };
  /** Put back what was Production before, or another version, without asking the gate. */
  rollback: {
    method: "POST";
    path: "/api/operations/rollback";
    pathParameters: {};
    queryParameters: {};
    body: RollbackBody;
    answer: ChangedBody;
  };
  /** Who changed what and when, newest first. */
  rule_versions: {
    method: "GET";
    path: "/api/rules/versions";
    pathParameters: {};
    queryParameters: { limit?: number; before?: number };
    body: never;
    answer: RulesVersionsBody;
  };
  /** The rules as they were at a version. */
  rules_of_version: {
    method: "GET";
    path: "/api/rules/versions/{version}";
    pathParameters: { version: number };
    queryParameters: {};
    body: never;
    answer: RulesBody;
  };
  /** Who calls, what they may do, and what there is to show. */
  session: {
    method: "GET";
    path: "/api/session";
    pathParameters: {};
    queryParameters: {};
    body: never;
    answer: SessionBody;
  };
  /** The list of `GET /api/recommendations` as Server-Sent Events: at once, and again after each event of the user. */
  stream: {
    method: "GET";
    path: "/api/recommendations/stream";
    pathParameters: {};
    queryParameters: { user_id: string; limit?: number; strategy?: string; lambda?: number | null; exclude?: string[]; category?: string[]; filter?: string[]; exclude_seen?: boolean; explain?: boolean; fields?: string; context?: Record<string, unknown>; profile?: Record<string, unknown> };
    body: never;
    answer: void;
  };
  /** The items that gained most over the window before, in standard deviations; popular ones where none gained. */
  trending: {
    method: "GET";
    path: "/api/trending";
    pathParameters: {};
    queryParameters: { limit?: number; window?: "hour" | "day" | "week" | "month"; category?: string[]; filter?: string[]; exclude?: string[]; explain?: boolean; fields?: string; cursor?: string | null; user_id?: string | null };
    body: never;
    answer: TrendsBody;
  };
  /** The events of a user, newest first, and the preferences by category that they show. */
  user_history: {
    method: "GET";
    path: "/api/users/{user_id}/history";
    pathParameters: { user_id: string };
    queryParameters: { limit?: number; cursor?: string | null };
    body: never;
    answer: HistoryBody;
  };
  /** Taste by category and activity of a user: stored, and refreshed after each event. */
  user_patterns: {
    method: "GET";
    path: "/api/users/{user_id}/patterns";
    pathParameters: { user_id: string };
    queryParameters: {};
    body: never;
    answer: UserPatternsBody;
  };
  /** Counts by type, distinct items, implementation rate and mean engagement of a user. */
  user_statistics: {
    method: "GET";
    path: "/api/users/{user_id}/stats";
    pathParameters: { user_id: string };
    queryParameters: {};
    body: never;
    answer: UserStatisticsBody;
  };
}
