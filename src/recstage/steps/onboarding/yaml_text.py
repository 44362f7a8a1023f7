"""The text of conf/data/NAME.yaml: every line that was decided says why, and what it may be instead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from recstage.config import root
from recstage.steps.onboarding.facts.columns import Meanings
from recstage.steps.onboarding.facts.profile import Profile
from recstage.steps.onboarding.facts.wording import counted
from recstage.steps.onboarding.proposal import Weight

PLAIN = re.compile(r"[A-Za-z][A-Za-z_-]*")
WORDS_OF_YAML = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
ABOUT = {
    "path": "relative paths are from the repository",
    "items_path": "titles, texts, categories and attributes of the items",
    "test_path": "rows to test on: the split is `given`",
    "validation_path": "rows to validate on",
    "default_type": "the type of all events: the file has no column of types",
    "zone": "of times that name none; as Europe/Berlin where they are local",
    "ids": "how ids are read; text: as they are written",
}
WRITTEN = "Written by `recstage init`"
OUTSIDE = "outside of the repository: it has to stay there"


def yaml_of(
    name: str,
    source: Mapping[str, Any],
    profile: Profile,
    meanings: Meanings,
    weights: Mapping[str, Weight],
    split: tuple[str, str],
    left_out: Mapping[str, str],
) -> str:
    """The whole text. `left_out`: settings of the source that are shown as comments, with their reason."""
    lines = [
        f"# {_one_line(name)}: {counted(profile.kept, 'event')} of {counted(profile.users, 'user')} with "
        f"{counted(profile.items, 'item')}. {WRITTEN}.",
        "# What each line may be: docs/data.md.",
        "source:",
        *_source_lines(source, meanings),
        *(f"  # {setting}" for setting in left_out.values()),
        "",
        "# what an event of each type is worth",
        "weights:",
        *(
            f"  {scalar(kind)}: {_rule(weight.rule)}  # {counted(profile.types[kind], 'event')}; {weight.why}"
            for kind, weight in weights.items()
        ),
    ]
    negative = [scalar(kind) for kind, weight in weights.items() if weight.negative]
    if negative:
        lines.append(f"negative_types: [{', '.join(negative)}]  # seen, and not liked")
    lines += ["", "split:", f"  method: {split[0]}  # {split[1]}"]
    return "\n".join(lines) + "\n"


def _source_lines(source: Mapping[str, Any], meanings: Meanings) -> Iterator[str]:
    for key, value in source.items():
        if key == "columns":
            yield "  columns:  # our name: the file's"
            for ours, theirs in value.items():
                why = meanings.why.get(ours, "") if theirs else "none: the column of such a name is something else"
                yield f"    {ours}: {scalar(theirs)}" + (f"  # {why}" if why else "")
            continue
        about = "" if "://" in str(value) else ABOUT.get(key, "")
        if key.endswith("path") and isinstance(value, str) and Path(value).is_absolute():
            about = OUTSIDE
        if isinstance(value, dict):
            inside = ", ".join(f"{ours}: {scalar(theirs)}" for ours, theirs in value.items())
            yield f"  {key}: {{{inside}}}"
            continue
        yield f"  {key}: {scalar(value)}" + (f"  # {about}" if about else "")


def scalar(value: Any) -> str:
    """A value as YAML reads it back."""
    if isinstance(value, bool) or not isinstance(value, str):
        return json.dumps(value)
    safe = bool(PLAIN.fullmatch(value)) and value.lower() not in WORDS_OF_YAML
    return value if safe else str(yaml.safe_dump(value, default_style='"', allow_unicode=True, width=10**6)).strip()


def _rule(rule: float | dict[str, float]) -> str:
    if isinstance(rule, dict):
        return "{" + ", ".join(f"{key}: {value:.12g}" for key, value in rule.items()) + "}"
    return f"{rule:.12g}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def in_repository(path: str) -> str:
    """A path as the YAML has it: from the repository where it lies inside, else whole. URLs and `${NAME}` stay."""
    if "://" in path or "${" in path:
        return path
    whole = Path(path).expanduser().absolute()
    home = root()
    return str(whole.relative_to(home)) if whole.is_relative_to(home) else str(whole)


def read_back(text: str) -> dict[str, Any]:
    """The values of a text of ours."""
    found: dict[str, Any] = yaml.safe_load(text)
    return found
