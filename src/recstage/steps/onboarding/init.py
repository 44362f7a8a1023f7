"""Look into a file of events, say what it holds, and write the YAML that makes it a data set of conf/data."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recstage import cli
from recstage.config import DataConfig, check, names_in, resolve, root
from recstage.config.naming import data_name
from recstage.config.steps import InitSettings
from recstage.data.files.layout_detection import name_of
from recstage.data.schema import EVENT_COLUMNS, ITEM, RawData
from recstage.data.tables.names import ITEM_NAMES, mapped
from recstage.data.tables.opening import Format, opened, places_of, refuse_missing
from recstage.data.tables.values.shown import shown
from recstage.errors import ConfigError
from recstage.steps.onboarding import proposal, report
from recstage.steps.onboarding.asking import columns_of, time_of, weights_asked
from recstage.steps.onboarding.facts import further_columns, warnings
from recstage.steps.onboarding.facts.columns import Meanings
from recstage.steps.onboarding.facts.contents import Contents
from recstage.steps.onboarding.facts.form import Form, form_of
from recstage.steps.onboarding.facts.given import Given, given_of, on_disk
from recstage.steps.onboarding.facts.profile import Join, join_of, profile_of
from recstage.steps.onboarding.next_commands import next_commands
from recstage.steps.onboarding.questions import Questions
from recstage.steps.onboarding.reading import Read, read, refuse_too_little, with_a_fitting_split
from recstage.steps.onboarding.result import ColumnSeen, InitResult
from recstage.steps.onboarding.yaml_text import WRITTEN, in_repository, read_back, yaml_of

EXAMPLES = 3
KNOWN_COLUMNS = Meanings({}, {})

log = logging.getLogger(__name__)


def settings_from(arguments: Sequence[str] = ()) -> InitSettings:
    """Settings from the command line."""
    return resolve(InitSettings, {}, arguments, program="init")


def run(settings: InitSettings) -> InitResult:
    """Read everything, report, write. Nothing is written where the data cannot be used. Raises `DataError` where the
    file cannot be read as events, `TooLittleData` where nothing could be trained on it."""
    questions = Questions(settings.yes)
    name = _name(settings, questions)
    how = Format(settings.separator, settings.encoding, settings.header, settings.sheet)
    given = given_of(settings.path, how, _said(settings))
    meanings, contents = KNOWN_COLUMNS, None
    if given.files:
        contents = Contents(given.files[0])
        meanings, contents = columns_of(given.files, contents, settings.columns, questions)
    source = _source(given, meanings, settings, questions)
    form = None
    if contents is not None:
        form = form_of(given.files, meanings.columns, contents, settings.zone)
        source = time_of(form, source, questions)
        if form.lacks_a_zone:
            source["zone"] = settings.zone
    found = read(name, source, given.more)
    return _reported(settings, name, given, meanings, form, found, questions, contents)


def _reported(
    settings: InitSettings,
    name: str,
    given: Given,
    meanings: Meanings,
    form: Form | None,
    found: Read,
    questions: Questions,
    contents: Contents | None,
) -> InitResult:
    join = join_of(found.raw)
    profile = profile_of(found.raw, found.findings, join)
    refuse_too_little(name, profile)
    weights = proposal.weights_of(profile, proposal.value_kind(meanings.columns.get("value", "value"), profile.values))
    weights = weights_asked(weights, profile, questions)
    tests = bool(found.source.get("test_path")) or found.raw.test is not None
    split = ("given", "the test rows come with the data") if tests else proposal.split_of(profile)
    split, more = with_a_fitting_split(split, found, proposal.as_yaml(weights))
    source, left_out = _without_useless_items(found.source, join)
    text = yaml_of(name, _written(source), profile, meanings, weights, split, left_out)
    check(DataConfig, {"name": name, **read_back(text)}, f"conf/data/{name}.yaml")
    extra = further_columns.of_events(given.files, meanings.columns) if given.files else []
    models = proposal.models_of(profile)
    folder = root() / "data" / "reports"
    result = InitResult(
        name=name,
        path=settings.path,
        yaml=str(root() / "conf" / "data" / f"{name}.yaml"),
        page=str(folder / f"{name}.html"),
        report=str(folder / f"{name}.json"),
        columns=meanings.columns,
        table=_table(given, meanings, contents, found.raw),
        form=form,
        profile=profile,
        weights=weights,
        split=split[0],
        split_why=split[1],
        models=models,
        warnings=[*warnings.warnings_of(profile, found.raw, tests), *extra, *further_columns.of_items(found.raw)],
        notes=[*given.notes, *meanings.notes, *more, *profile.notes],
        decisions=questions.decisions,
        next=next_commands(name, next(iter(models)), found.raw),
    )
    if before := _there(name):
        was = re.search(r'^ +path: "?([^"\n]*)', before, re.MULTILINE)
        result.notes.insert(0, f"conf/data/{name}.yaml is replaced{f': it was of {was[1]}' if was else ''}")
    _write(result, text, found.raw)
    return result


def _write(result: InitResult, text: str, raw: RawData) -> None:
    for line in report.lines(result, text):
        log.info("%s", line)
    Path(result.page).parent.mkdir(parents=True, exist_ok=True)
    Path(result.page).write_text(report.page(result, raw, text), encoding="utf-8")
    Path(result.report).write_text(json.dumps(cli.plain(result), indent=1), encoding="utf-8")
    Path(result.yaml).write_text(text, encoding="utf-8")


def _name(settings: InitSettings, questions: Questions) -> str:
    """The name of the data set. Raises `ConfigError` on a bad one, and on one that is taken and may not be replaced."""
    if settings.name:
        try:
            name = data_name(settings.name)
        except ValueError as error:
            raise ConfigError(f"--name {settings.name}", rule=str(error), fix="Give another name") from error
    else:
        last = settings.path.partition("#")[0].partition("?")[0].rstrip("/").rpartition("/")[2]
        name = re.sub(r"\W+", "-", name_of(Path(last))).strip("-_").lower()[:60] or "data"
    if name in names_in("data") and settings.yes and not settings.name and WRITTEN not in _there(name):
        raise ConfigError(
            f"conf/data/{name}.yaml",
            rule="is there already, and was not written by `recstage init`",
            fix="Give --name NAME",
        )
    if name in names_in("data") and not settings.yes:
        replaced = questions.can_ask and questions.confirm(f"conf/data/{name}.yaml is there. Replace it?", False)
        if not replaced:
            raise ConfigError(
                f"conf/data/{name}.yaml", rule="is there already", fix="Give --name NAME, or --yes to replace it"
            )
    return name


def _there(name: str) -> str:
    """The YAML of a data set, nothing where there is none."""
    path = root() / "conf" / "data" / f"{name}.yaml"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _said(settings: InitSettings) -> dict[str, Any]:
    """What the user says of the source, besides its further files."""
    names = ("table", "query", "separator", "encoding", "header", "sheet", "columns", "items_columns")
    found = {name: value for name in names if (value := getattr(settings, name)) not in ("", None, {})}
    if settings.s3_timeout != InitSettings.model_fields["s3_timeout"].default:
        found["s3_timeout"] = settings.s3_timeout
    autos = {name: value for name in ("decimal", "time", "ids") if (value := getattr(settings, name)) != "auto"}
    return found | autos


def _source(given: Given, meanings: Meanings, settings: InitSettings, questions: Questions) -> dict[str, Any]:
    """The source with columns and the files that go with it: those that are named, and those that lie beside it."""
    source = dict(given.source)
    if given.files:
        source["columns"] = meanings.written(given.files[0])
        if not given.files[0].has_header:
            source["header"] = False
        if "interaction_type" not in meanings.columns:
            kind = proposal.kind_by_name(meanings.columns.get("value", ""))
            source["default_type"] = {"rating": "rating", "amount": "purchase", "seconds": "view"}.get(
                kind, "interaction"
            )
    named = {"items_path": settings.items, "test_path": settings.test_path, "validation_path": settings.validation_path}
    for part, path in named.items():
        option = {"items_path": "items"}.get(part, part)
        if path and path != "none":
            if "://" not in path and "${" not in path:
                refuse_missing(path, f"--{option} {path}")
            source[part] = path
        elif path != "none" and part in given.beside and part not in source:
            if part == "validation_path" and "test_path" not in source:
                continue
            lies = Path(given.beside[part]).name
            if questions.confirm(f"{lies} lies beside it: is it {PART_IN_WORDS[part]}? (--{option} none: no)", True):
                source[part] = given.beside[part]
    if "items_path" in source:
        source |= _ids_of_items(source, meanings)
    if "validation_path" in source and "test_path" not in source:
        raise ConfigError(
            f"--validation_path {source['validation_path']}",
            rule="validation rows of their own go with test rows of their own",
            fix="Give --test_path too",
        )
    return source


def _ids_of_items(source: Mapping[str, Any], meanings: Meanings) -> dict[str, Any]:
    """`items_columns` with the column that the events call the item by, where the items file has it and no other."""
    said, theirs = source.get("items_columns", {}), meanings.columns.get(ITEM)
    places = places_of(on_disk(source["items_path"], source, "items_path"))
    if ITEM in said or theirs is None or len(places) != 1 or source["items_path"].endswith((".dat", ".item")):
        return {}
    names = opened(*places[0], Format()).names
    if theirs not in names or ITEM in mapped(names, said, ITEM_NAMES, setting="", where=source["items_path"]):
        return {}
    return {"items_columns": {ITEM: theirs, **said}}


PART_IN_WORDS = {
    "items_path": "what describes the items",
    "test_path": "the rows to test on",
    "validation_path": "the rows to validate on",
}


def _without_useless_items(source: Mapping[str, Any], join: Join | None) -> tuple[dict[str, Any], dict[str, str]]:
    """The source without an items file of which nothing joins: `prepare` would refuse it."""
    if join is None or join.described or "items_path" not in source:
        return dict(source), {}
    path = in_repository(str(source["items_path"]))
    left = {key: value for key, value in source.items() if key not in ("items_path", "items_columns")}
    return left, {
        "items_path": f"items_path: {' '.join(path.split())}  # left out: none of its ids is one of the events"
    }


def _written(source: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: in_repository(value) if key.endswith("path") else value for key, value in source.items() if value != {}
    }


def _table(given: Given, meanings: Meanings, contents: Contents | None, raw: RawData) -> list[ColumnSeen]:
    if contents is None:
        head = raw.events.head(EXAMPLES)
        return [ColumnSeen(name, name, "by its layout", head[name].astype(str).tolist()) for name in EVENT_COLUMNS]
    ours = {theirs: one for one, theirs in meanings.columns.items()}
    return [
        ColumnSeen(
            name,
            ours.get(name, ""),
            meanings.why.get(ours.get(name, ""), ""),
            [" ".join(shown(value).split()) for value in contents.given(name).head(EXAMPLES)],
        )
        for name in given.files[0].names
    ]


__all__ = ["InitResult", "InitSettings", "run", "settings_from"]
