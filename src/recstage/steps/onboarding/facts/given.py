"""What `init` is given: a file, a folder of parts, an archive, a known layout or a database, and its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recstage.config import EventsSource, root
from recstage.data import sources
from recstage.data.files import layout_detection, object_store
from recstage.data.files.file_tree import FileTree
from recstage.data.files.layout_detection import ITEM_STEMS, TEST_STEMS, VALIDATION_STEMS, stem_of
from recstage.data.sources import events as events_source
from recstage.data.sources import json_layout, movielens, ncf
from recstage.data.tables import database, opening
from recstage.data.tables.opening import WILD, Format, opened, places_of
from recstage.data.tables.table import TableFile
from recstage.errors import DataError

TEXTS = (".txt", ".log")
ABOUT = ("readme", "license", "licence", "copying", "changelog")
"""Names of text about a data set."""
SHOWN = 5


@dataclass(frozen=True)
class Given:
    """`source`: what a YAML says of it so far. `files`: the parts of its table of events; none of a known layout, which
    says itself what its columns are. `beside`: further files that may belong to it, by their setting of the source.
    `more`: what its layout decides besides (split, weights)."""

    source: dict[str, Any]
    files: list[TableFile] = field(default_factory=list)
    beside: dict[str, str] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def given_of(path: str, how: Format, more: Mapping[str, Any]) -> Given:
    """What `path` is. `more`: further settings of an `events` source (table, query, ...). Raises `DataError` where it
    is no table of events and no known layout."""
    path = database.url_of_file(path) or path
    if database.is_url(path):
        url, _, table = path.partition("#")
        source = {"kind": "events", "path": _whole_url(url), **({"table": table} if table else {}), **more}
        return Given(source, [opened(tree, name) for tree, name in places_of(on_disk(url, source))])
    source = {"kind": "events", "path": path, **more}
    if object_store.is_url(path):
        return Given(source, _opened(places_of(on_disk(path, more)), path, how))
    if WILD.search(path) and not Path(path).expanduser().exists():
        return Given(source, _opened(places_of(path), path, how))
    tree = FileTree(path)
    a_file = tree.path.is_file() and not tree.is_archive
    if _is_known_layout(tree, a_file):
        found = layout_detection.layout_of(tree)
        return Given(found.pop("source"), more=found)
    if a_file:
        file = opened(tree, tree.names[0], how)
        return Given(source, [file], beside=_beside(tree.path, file, how))
    return _of_folder(tree, source, how)


def on_disk(path: str, source: Mapping[str, Any], setting: str = "path") -> str:
    """The files that a path of a source means, in one of its settings; of a database or an object store, copies."""
    config = EventsSource(**{**source, "path": "", setting: path})
    return str(getattr(sources.located(config, root() / "data" / "downloads"), setting))


def _is_known_layout(tree: FileTree, a_file: bool) -> bool:
    if movielens.is_layout(tree) or any(name.removesuffix(".gz").endswith(ncf.TRAIN) for name in tree.names):
        return True
    jsons = tree.ending(".json") if not a_file or tree.path.suffix == ".json" else []
    return len(jsons) == 1 and json_layout.is_layout(tree, jsons[0]) and json_layout.brings_test(tree, jsons[0])


def _whole_url(url: str) -> str:
    """A database's URL that holds from any folder."""
    start = "sqlite:///"
    if not url.startswith(start) or "${" in url:
        return url
    return f"{start}{Path(url.removeprefix(start)).expanduser().absolute()}"


def _of_folder(tree: FileTree, source: dict[str, Any], how: Format) -> Given:
    names = opening.tables_in(tree)
    by_part = {
        "items_path": [name for name in names if stem_of(name) in ITEM_STEMS],
        "test_path": [name for name in names if stem_of(name) in TEST_STEMS],
        "validation_path": [name for name in names if stem_of(name) in VALIDATION_STEMS],
    }
    aside = {name for part in by_part.values() for name in part}
    events = [name for name in names if name not in aside]
    if not events:
        raise DataError(
            str(tree.path),
            rule=f"holds no table of events ({', '.join(opening.FORMATS)})",
            fix="Give one file, or a folder of parts",
        )
    tables, left_out = _tables_among(tree, sorted(events, key=opening.natural), how)
    events = _of_events_among(tree, tables, source)
    notes = [f"left out of {tree.path.name}: {', '.join(left_out)}, no table"] if left_out else []
    if others := [name for name in tables if name not in events]:
        notes.append(f"left out of {tree.path.name}: {', '.join(others)}, without columns of users and items")
    if tree.is_archive and aside:
        raise DataError(
            f"{tree.path}: {', '.join(events[:SHOWN])} beside {', '.join(sorted(aside)[:SHOWN])}",
            rule="an archive is read as one table of events",
            fix=f"Unpack it, and give the {'folder' if len(events) == 1 else 'parts by a pattern'}",
        )
    beside = {part: str(tree.on_disk(found[0])) for part, found in by_part.items() if len(found) == 1}
    if len(events) == 1 and not tree.is_archive:
        source = {**source, "path": str(tree.on_disk(events[0]))}
    elif aside:
        raise DataError(
            f"{tree.path}: {', '.join(events[:SHOWN])} beside {', '.join(sorted(aside)[:SHOWN])}",
            rule="parts of a table and other tables must not lie in one folder",
            fix="Give the parts by a pattern, as 'folder/part-*.csv', and --items or --test_path with it",
        )
    return Given(source, [tables[name] for name in events], beside, notes=notes)


def _tables_among(tree: FileTree, names: Sequence[str], how: Format) -> tuple[dict[str, TableFile], list[str]]:
    """The files that hold a table, and the text beside them that holds none (a README, a log). Raises `DataError` where
    none does."""
    tables: dict[str, TableFile] = {}
    texts: list[str] = []
    refusal: DataError | None = None
    for name in names:
        if stem_of(name) in ABOUT and len(names) > 1:
            texts.append(name)
            continue
        try:
            tables[name] = opened(tree, name, how)
        except DataError as error:
            if not name.lower().endswith(TEXTS):
                raise
            refusal = error
            texts.append(name)
    if not tables and refusal is not None:
        raise refusal
    return tables, texts


def _of_events_among(tree: FileTree, tables: Mapping[str, TableFile], source: Mapping[str, Any]) -> list[str]:
    """All tables, where they are parts of one; else those with columns of users and items, as `prepare` takes them.
    Raises `DataError` where these differ, too."""
    if len({frozenset(file.names) for file in tables.values()}) == 1:
        return list(tables)
    config = EventsSource(**{**source, "path": str(tree.path)})
    chosen = [name for name in tables if events_source.is_table(tree, name, config)]
    events_source.refuse_a_part_that_differs(
        str(tree.path), [(tree, name) for name in tables], [(tree, name) for name in chosen]
    )
    if len({frozenset(tables[name].names) for name in chosen}) == 1:
        return chosen
    inside = "; ".join(f"{name} ({', '.join(file.names[:SHOWN])})" for name, file in list(tables.items())[:SHOWN])
    first = next(iter(chosen or tables))
    raise DataError(
        f"{tree.path}: {inside}",
        rule=f"must hold one table of events or parts with the same columns, and has {len(tables)} that differ",
        fix=f"{'Unpack it, and give' if tree.is_archive else 'Give'} one of the files, as {first}, "
        "or parts of a table by a pattern, as part-*.csv",
    )


def _opened(places: Sequence[tuple[FileTree, str]], path: str, how: Format) -> list[TableFile]:
    files = [opened(tree, name, how) for tree, name in places]
    columns = {frozenset(file.names) for file in files}
    if len(columns) > 1:
        names = ", ".join(opening.labels_of(list(places))[:SHOWN])
        raise DataError(
            f"{path}: {names}",
            rule=f"must hold one table of events or parts with the same columns, and has {len(files)} that differ",
            fix="Give one of the files, or a pattern as part-*.csv",
        )
    return files


def _beside(path: Path, file: TableFile, how: Format) -> dict[str, str]:
    """Files in the folder of a file that are named as its test, validation or items are."""
    found: dict[str, str] = {}
    stem = stem_of(path.name)
    if stem in (*TEST_STEMS, *VALIDATION_STEMS, *ITEM_STEMS):
        return found
    for other in sorted(path.parent.iterdir()):
        if other == path or not other.is_file() or not other.name.lower().endswith(ALL_ENDINGS):
            continue
        part = _part_of(stem, stem_of(other.name))
        if part is None or part in found:
            continue
        tree = FileTree(other)
        try:
            table = opened(tree, tree.names[0], how if part != "items_path" else Format())
        except DataError:
            continue
        if part == "items_path" or set(table.names) == set(file.names):
            found[part] = str(other)
    return found


def _part_of(stem: str, other: str) -> str | None:
    """The setting that a file is for, by its name: "test" beside any, "shop_test" beside "shop" or "shop_train"."""
    base = stem
    for word in layout_detection.TRAIN_STEMS:
        base = base.removesuffix(f"_{word}").removesuffix(f"-{word}").removeprefix(f"{word}_").removeprefix(f"{word}-")
    for part, words in (("test_path", TEST_STEMS), ("validation_path", VALIDATION_STEMS), ("items_path", ITEM_STEMS)):
        if other in words or any(other in (f"{base}_{w}", f"{base}-{w}", f"{w}_{base}", f"{w}-{base}") for w in words):
            return part
    return None


PACKINGS = ("", ".gz", ".bz2", ".xz", ".zst")
ALL_ENDINGS = tuple(f"{ending}{packing}" for ending in opening.FORMATS for packing in PACKINGS)
