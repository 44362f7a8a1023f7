"""From a profile to what a data set's YAML decides: event weights, the split, and the models worth trying."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recstage.data.event_weights import usual_weight
from recstage.data.tables.names import plain
from recstage.steps.onboarding.facts.profile import Profile, Values

SCALES = (1.0, 5.0, 10.0, 100.0)
FEW_PAIRS, MANY_PAIRS, FEW_USERS, MANY_ITEMS = 2_000, 50_000, 500, 20_000


@dataclass(frozen=True)
class Weight:
    """What an event type is worth, as the YAML has it; `why` in words; `known`: by its name or its values. `negative`:
    seen, and not liked."""

    rule: float | dict[str, float]
    why: str
    known: bool = True
    negative: bool = False

    @property
    def words(self) -> str:
        """The rule for a reader."""
        if isinstance(self.rule, dict):
            return f"{self.rule['low']:g} to {self.rule['high']:g}, the whole at {self.rule['full']:g}"
        return f"{self.rule:g}"


def weights_of(profile: Profile, value_is: str) -> dict[str, Weight]:
    """A weight for each type: by its values where they grade it, by its name where that is known, else by its place in
    the funnel, the rarest the most and equally rare ones the same. `value_is`: rating, amount, seconds or "" (see
    `Profile.values`)."""
    found: dict[str, Weight] = {}
    for name in profile.types:
        usual = usual_weight(name)
        if usual == 0.0:
            found[name] = Weight(0.0, "says no: seen, and not liked", negative=True)
        elif name in profile.values and value_is:
            found[name] = _by_value(profile, name, value_is, usual)
        elif len(profile.types) == 1:
            found[name] = Weight(1.0, "the only type")
        elif usual is not None:
            found[name] = Weight(usual, "by its name")
        else:
            rarer = sum(count < profile.types[name] for count in profile.types.values())
            place = rarer / (len(profile.types) - 1)
            found[name] = Weight(round(1.0 - 0.9 * place, 2), "by its place in the funnel: the rarer the more", False)
    return found


def _by_value(profile: Profile, name: str, value_is: str, usual: float | None) -> Weight:
    values = profile.values[name]
    if value_is == "rating":
        full = next((scale for scale in SCALES if values.greatest <= scale), values.greatest)
        if full <= 0:
            return Weight(usual or 1.0, "its values are not above zero, and grade nothing")
        no = "; zero and below: not liked" if values.least <= 0 else ""
        return Weight({"low": 0.0, "high": 1.0, "full": full}, f"grows with the value up to {full:g}{no}")
    full = values.high if values.high > 0 else values.greatest
    high = usual or 1.0
    if full <= 0 or values.least == values.greatest:
        return Weight(high, "its values grade nothing")
    low = round((0.1 if value_is == "seconds" else 0.7) * high, 2)
    about = "nineteen in twenty are below" if values.high > 0 else "the greatest value"
    return Weight({"low": low, "high": high, "full": full}, f"grows with the value up to {full:g}: {about}")


def split_of(profile: Profile) -> tuple[str, str]:
    """How to cut the data, and why."""
    if profile.ordered and profile.is_clock:
        return "temporal", "times are real: what comes after one moment is predicted from what came before"
    if profile.ordered:
        return "leave-one-out", "an order without a clock: each user's last item is predicted"
    return "ratio", "nothing tells an order: a share of each user's items is drawn at random"


def models_of(profile: Profile) -> dict[str, str]:
    """Models worth trying, the first one first, each with the reason."""
    cold = profile.segments["cold"] / max(profile.users, 1)
    few = profile.pairs < FEW_PAIRS or profile.users < 50
    found = {
        "als": "factors of users and items: fast, and good at most sizes",
        "knn": "neighbours: the strongest where there is little data" if few else "neighbours: explains itself",
    }
    if few:
        found = dict(reversed(found.items()))
    if profile.ordered:
        found["transitions"] = "what comes next: the data has an order"
    elif profile.items <= MANY_ITEMS:
        found["ease"] = "linear weights between items: the strongest on data without an order"
    if profile.items_described:
        found["content"] = "titles, texts and categories: items without events can be recommended too"
        if cold > 0.3:
            found["hybrid"] = f"{cold:.0%} of the users are cold: each is served by what is best for their history"
    if profile.users >= FEW_USERS and profile.pairs >= 10_000:
        found["lambdarank"] = "a second stage over the others: the most exact"
    if profile.ordered and profile.pairs >= MANY_PAIRS:
        found["two-tower"] = "a transformer over the history: there are enough events for it"
    return {**found, "popularity": "the baseline that all others must beat"}


def as_yaml(weights: dict[str, Weight]) -> dict[str, Any]:
    """Rules by type, as `DataConfig.weights` takes them."""
    return {name: weight.rule for name, weight in weights.items()}


RATINGS = ("rating", "stars", "score", "overall", "bewert", "stern", "punkt", "puntu", "calific", "valor", "valut",
           "voto", "avalia", "nota", "note", "grade", "beoord", "waarder", "betyg", "оцен", "рейт", "评分",
           "評価")  # fmt: skip
SECONDS = ("duration", "dwell", "time", "seconds", "dauer", "watch")
AMOUNTS = ("quant", "amount", "qty", "units", "plays", "count", "price", "menge", "anzahl", "stuck", "stueck", "betrag",
           "cantidad", "aantal", "antal", "колич", "数量")  # fmt: skip


def value_kind(column: str, values: Mapping[str, Values]) -> str:
    """What a column of values is: "rating" (a grade), "seconds", "amount" (of things or money); "" without one."""
    if not column or not values:
        return ""
    if kind := kind_by_name(column):
        return kind
    a_scale = all(one.step is not None and one.least >= -10 and one.greatest <= 100 for one in values.values())
    return "rating" if a_scale else "amount"


def kind_by_name(column: str) -> str:
    """The same by the name of the column alone."""
    name = plain(column)
    kinds = (("amount", AMOUNTS), ("seconds", SECONDS), ("rating", RATINGS))
    return next((kind for kind, stems in kinds if any(stem in name for stem in stems)), "")
