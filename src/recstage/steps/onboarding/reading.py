"""The whole of the data, read and checked as `prepare` does, and whether a split of it leaves anything to test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recstage.config import DataConfig, check, root, with_whole_paths
from recstage.data import event_weights, sources, validation
from recstage.data.schema import RawData
from recstage.data.split import cut
from recstage.data.validation import Findings
from recstage.errors import DataError, TooLittleData
from recstage.steps.onboarding.facts.profile import Profile
from recstage.steps.onboarding.facts.wording import counted

TRIED_UNTIL = 500_000  # events: of more, any split leaves enough


@dataclass(frozen=True)
class Read:
    """Clean rows, what was wrong with the others, and the source as a YAML says it."""

    raw: RawData
    findings: Findings
    source: dict[str, Any]
    config: DataConfig


def read(name: str, source: Mapping[str, Any], more: Mapping[str, Any]) -> Read:
    """All rows of a source. Raises `DataError` where they cannot be read, or none is left."""
    values = {"name": name, **{key: value for key, value in more.items() if key != "split"}, "source": dict(source)}
    config: DataConfig = check(DataConfig, {**values, "default_weight": 1.0}, name)
    config = with_whole_paths(config)
    located = sources.located(config.source, root() / "data" / "downloads")
    raw = sources.read(located)
    if not len(raw.events) and not raw.rejected.total:
        raise DataError(str(source.get("path", name)), rule="holds no rows", fix="Give a file with rows")
    raw, findings = validation.clean(raw, config)
    return Read(raw, findings, dict(source), config)


def refuse_too_little(name: str, profile: Profile) -> None:
    """Raises `TooLittleData` where `prepare` would."""
    least = DataConfig.model_fields["minimum"].default
    for what, found, needed in (
        ("user", profile.users, least.users),
        ("item", profile.items, least.items),
        ("interaction", profile.pairs, least.interactions),
    ):
        if found < needed:
            raise TooLittleData(
                f"{name}: {counted(found, what)}",
                rule=f"a recommender needs at least {counted(needed, what)}",
                fix="Give more data" + (f" (of this file: {'; '.join(profile.notes)})" if profile.notes else ""),
            )


def with_a_fitting_split(
    split: tuple[str, str], found: Read, weights: Mapping[str, Any]
) -> tuple[tuple[str, str], list[str]]:
    """The proposed split, or the next one that leaves rows to train on and to test, with what there is to say. Raises
    `TooLittleData` where none does."""
    if len(found.raw.events) > TRIED_UNTIL:
        return split, []
    config = found.config.model_copy(
        update={
            "weights": check(DataConfig, {"name": "x", "source": found.source, "weights": weights}, "weights").weights
        }
    )
    events = event_weights.to_log(found.raw, config)
    tried = [split] + [
        (method, why)
        for method, why in (
            ("leave-one-out", "each user's last item is predicted"),
            ("ratio", "a share of each user's items is predicted"),
        )
        if method != split[0] and (found.raw.ordered or method == "ratio")
    ]
    refusal: DataError | None = None
    for one in tried:
        try:
            asked = config.split.model_copy(update={"method": one[0], "negatives": 0})
            cut(events, asked, rule=config.aggregate, time_is_clock=found.raw.time_is_clock)
        except TooLittleData as error:
            refusal = refusal or error
            continue
        return one, [f"a {split[0]} split would leave nothing to train on or to test"] if one is not split else []
    raise refusal if refusal is not None else AssertionError("no split was tried")
