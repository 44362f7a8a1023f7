"""From a profile to a data set: event weights, how to split, models worth trying, and the YAML that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from recstage.data.files.layout_detection import KNOWN_WEIGHTS
from recstage.data.tables.names import plain
from recstage.steps.onboarding.profile import Profile

SAYS_NO = ("dismiss", "dislike", "hide", "skip", "unlike", "notinterested", "block", "removefromcart", "downvote")
RATINGS = (5.0, 10.0, 100.0)
OTHER_NAMES: dict[str, float] = {
    **dict.fromkeys(("pageview", "viewed", "impression", "open", "detail", "productview"), 0.1),
    **dict.fromkeys(("clicked", "tap", "play", "watch", "listen", "read"), 0.4),
    **dict.fromkeys(
        ("addtocart", "addtobasket", "cart", "basket", "wishlist", "bookmark", "favorite", "favourite"), 0.7
    ),
    **dict.fromkeys(("buy", "order", "transaction", "checkout", "bought", "paid", "download"), 1.0),
}
"""What event types are called elsewhere, without case, blanks and punctuation."""


def weights_of(profile: Profile) -> dict[str, Any]:
    """A weight for each type: by its name where that is known, else by its place in the funnel, the rarest the most."""
    found: dict[str, Any] = {}
    rare_first = sorted(profile.types, key=lambda name: profile.types[name])
    for name in profile.types:
        if plain(name) in SAYS_NO:
            found[name] = 0.0
        elif name in profile.values and profile.values[name][1] > 1:
            found[name] = _by_value(profile.values[name][1])
        elif name in KNOWN_WEIGHTS or plain(name) in OTHER_NAMES:
            found[name] = KNOWN_WEIGHTS.get(name, OTHER_NAMES.get(plain(name)))
        else:
            place = rare_first.index(name) / max(len(rare_first) - 1, 1)
            found[name] = round(1.0 - 0.9 * place, 2) if len(rare_first) > 1 else 1.0
    return found


def _by_value(greatest: float) -> dict[str, float]:
    full = next((scale for scale in RATINGS if greatest <= scale), greatest)
    return {"low": 0.0, "high": 1.0, "full": full}


def split_of(profile: Profile) -> tuple[str, str]:
    """How to cut the data, and why."""
    if profile.is_clock and profile.first != profile.last:
        return "temporal", "times are real: what comes after one moment is predicted from what came before"
    if (profile.ordered and profile.first != profile.last) or (profile.ordered and not profile.is_clock):
        return "leave-one-out", "an order without a clock: each user's last item is predicted"
    return "ratio", "nothing tells an order: a share of each user's items is drawn at random"


def models_of(profile: Profile) -> list[str]:
    """Models worth trying, the first one first."""
    found = ["als", "knn"]
    if profile.ordered:
        found.append("transitions")
    if profile.items_described:
        found.append("content" if profile.segments["cold"] < 0.5 else "hybrid")
    return [*found, "lambdarank"] if profile.users >= 500 else found


def yaml_of(name: str, source: Mapping[str, Any], profile: Profile) -> str:
    """The text of conf/data/NAME.yaml: every line that was decided here says why."""
    method, why = split_of(profile)
    no = [one for one in profile.types if plain(one) in SAYS_NO]
    weights = (
        f"  {_key(one)}: {json.dumps(w)}  # {profile.types[one]:,} events" for one, w in weights_of(profile).items()
    )
    lines = [
        f"# {name}: {profile.kept:,} events of {profile.users:,} users with {profile.items:,} items.",
        "# Written by `recstage init`.",
        "# docs/data.md says what every line may be.",
        yaml.safe_dump({"source": dict(source)}, sort_keys=False, allow_unicode=True).rstrip(),
        "",
        "# what an event of each type is worth: by usual names, else the rarer the more",
        "weights:",
        *weights,
        *([f"negative_types: [{', '.join(map(_key, no))}]  # seen, and not liked"] if no else []),
        "",
        f"split:\n  method: {method}  # {why}",
    ]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
