"""Look into a file of events, say what it holds, and write the YAML that makes it a data set of conf/data."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from pydantic import Field

from recstage import cli
from recstage.config import DataConfig, Settings, check, names_in, resolve, root, with_whole_paths
from recstage.data import sources
from recstage.data.files.layout_detection import config_of, name_of
from recstage.data.schema import ITEM, USER
from recstage.data.tables import database
from recstage.data.tables.names import EVENT_NAMES, mapped
from recstage.data.tables.opening import opened, places_of
from recstage.errors import ConfigError, DataError
from recstage.steps.onboarding import proposal
from recstage.steps.onboarding.profile import Profile, profile_of

EXAMPLES = 3

log = logging.getLogger(__name__)


class InitSettings(Settings):
    """The file, and what is said of it beforehand."""

    path: str = Field(description="a file, folder or pattern of events, sqlite:///... or postgresql://...")
    items: str = Field("", description="a file that describes the items")
    name: str = Field("", description="of the data set; empty: from the file's")
    yes: bool = Field(False, description="ask nothing, and replace a YAML of that name")
    columns: dict[str, str] = Field(default_factory=dict, description="our name to the file's, where guessing fails")
    query: str = Field("", description="of a database, in place of a table")


@dataclass(frozen=True)
class InitResult:
    """`columns`: ours to the file's; `next`: the commands that follow."""

    name: str
    yaml: str
    page: str
    report: str
    columns: dict[str, str]
    split: str
    models: list[str]
    profile: Profile
    next: list[str]


def settings_from(arguments: Sequence[str] = ()) -> InitSettings:
    """Settings from the command line."""
    return resolve(InitSettings, {}, arguments, program="init")


def run(settings: InitSettings) -> InitResult:
    """Read everything, report, write. Raises `DataError` where the file cannot be read as events."""
    name = settings.name or re.sub(r"\W+", "-", name_of(Path(settings.path.rpartition("/")[2]))).strip("-").lower()
    target = root() / "conf" / "data" / f"{name}.yaml"
    if name in names_in("data") and not settings.yes and not _asked(f"conf/data/{name}.yaml is there. Replace it?"):
        raise ConfigError(
            f"conf/data/{name}.yaml", rule="is there already", fix="Give --name NAME, or --yes to replace it"
        )
    source, columns, examples = _source(settings)
    for line in _table(columns, examples):
        log.info("%s", line)
    config = with_whole_paths(check(DataConfig, {"name": name, "source": source}, settings.path))
    located = sources.located(config.source, root() / "data" / "downloads")
    profile = profile_of(sources.read(located))
    written = {key: value for key, value in config.source.model_dump(mode="json", exclude_unset=True).items() if value}
    text = proposal.yaml_of(name, written, profile)
    told = list(_told(profile, text))
    for line in told:
        log.info("%s", line)
    target.write_text(text)
    folder = root() / "data" / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    page, report = folder / f"{name}.html", folder / f"{name}.json"
    method, _ = proposal.split_of(profile)
    models = proposal.models_of(profile)
    following = [
        f"recstage train {models[0]} --data {name}",
        "recstage promote",
        "recstage serve",
        f"curl 'http://127.0.0.1:8000/api/recommendations?user_id={examples.get(columns[USER], ['42'])[0]}&limit=5'",
    ]
    result = InitResult(name, str(target), str(page), str(report), columns, method, models, profile, following)
    report.write_text(json.dumps(cli.plain(result), indent=1))
    lines = [*_table(columns, examples), *told, "", *following]
    body = escape("\n".join(lines))
    title = f"<!doctype html><meta charset=utf-8><title>{escape(name)}</title><h1>{escape(name)}</h1>"
    page.write_text(f"{title}<pre>{body}</pre>\n")
    return result


def _source(settings: InitSettings) -> tuple[dict[str, Any], dict[str, str], dict[str, list[str]]]:
    """The source as a YAML says it, our columns to the file's, and the first values of each column of the file."""
    if database.is_url(settings.path):
        source = {**config_of(settings.path)["source"], **({"query": settings.query} if settings.query else {})}
        return _with_items(source, settings), dict(settings.columns) or {USER: USER, ITEM: ITEM}, {}
    places = places_of(settings.path)
    if not places:
        raise DataError(settings.path, rule="holds no table", fix="Give a file, or a folder of parts")
    file = opened(*places[0])
    columns = mapped(file.names, settings.columns, EVENT_NAMES, setting="columns", where=file.where)
    examples = {name: [row[at] for row in file.rows[:EXAMPLES] if len(row) > at] for at, name in enumerate(file.names)}
    source = {"kind": "events", "path": settings.path, "default_type": "interaction"}
    if file.has_header:
        columns = _completed(columns, file.names, examples, settings)
        source["columns"] = columns
    return _with_items(source, settings), columns, examples


def _with_items(source: dict[str, Any], settings: InitSettings) -> dict[str, Any]:
    return {**source, **({"items_path": settings.items} if settings.items else {})}


def _completed(
    columns: dict[str, str], names: Sequence[str], examples: dict[str, list[str]], settings: InitSettings
) -> dict[str, str]:
    """Asks for the ids that no usual name tells. Raises `DataError` where there is no terminal to ask."""
    for ours in (USER, ITEM):
        if ours in columns:
            continue
        given = "" if settings.yes else _answer(f"Which column holds {ours}? {', '.join(names)}: ")
        if given not in names:
            raise DataError(
                f"{settings.path}: columns {', '.join(names)}",
                rule=f"none is known to hold {ours}",
                fix=f"Say which: --columns.{ours} {names[0]}",
            )
        columns = {**columns, ours: given}
    return columns


def _asked(question: str) -> bool:
    return _answer(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _answer(question: str) -> str:
    if not sys.stdin.isatty():
        return ""
    sys.stderr.write(question)
    return sys.stdin.readline().strip()


def _table(columns: dict[str, str], examples: dict[str, list[str]]) -> Iterator[str]:
    meaning = {theirs: ours for ours, theirs in columns.items()}
    for name, values in examples.items():
        yield f"  {name:<22} {meaning.get(name, '-'):<18} {' | '.join(value[:24] for value in values)}"


def _told(profile: Profile, text: str) -> Iterator[str]:
    yield f"{profile.rows:,} rows, {profile.kept:,} kept; {profile.users:,} users, {profile.items:,} items"
    yield f"density {profile.density:.3%}: the share of user-item pairs with an event"
    if profile.first and profile.last:
        yield f"{profile.first:%Y-%m-%d %H:%M} to {profile.last:%Y-%m-%d %H:%M} (UTC), {profile.sessions:,} sessions"
    yield f"{profile.duplicates:,} duplicate rows, {profile.repeats:,} repeats of a user and item"
    yield f"the most popular hundredth of the items has {profile.top_share:.0%} of the events"
    yield "users: " + ", ".join(f"{share:.0%} {name}" for name, share in profile.segments.items())
    yield from (f"warning: {warning}" for warning in profile.warnings)
    yield from (f"note: {note}" for note in profile.notes)
    yield ""
    yield from text.splitlines()
