"""What a word after `--data` means: a name in conf/data, a YAML file, or a path whose layout is found out."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from recstage.config import named_yaml, names_in, read_yaml, root
from recstage.config.naming import usable
from recstage.data.files import object_store
from recstage.data.files.file_tree import ARCHIVES, FileTree, unpacked
from recstage.data.sources import PATHS, events, json_layout, movielens, ncf
from recstage.data.tables import database, opening
from recstage.errors import DataError, valid_names

ITEM_STEMS = ("items", "movies", "products", "articles", "books", "catalogue", "catalog", "meta", "metadata")
TEST_STEMS, VALIDATION_STEMS = ("test",), ("validation", "valid", "val")
TRAIN_STEMS = ("train", "training", "events", "interactions")
KNOWN_WEIGHTS: dict[str, Any] = {
    "view": 0.1,
    "click": 0.4,
    "like": 0.7,
    "save": 0.8,
    "share": 1.0,
    "rate": {"low": 0.0, "high": 1.0, "full": 5},
    "rating": 1.0,
    "implement": 1.0,
    "purchase": 1.0,
    "interaction": 1.0,
    "dismiss": 0.0,
}
"""The usual event types, for files without a YAML of their own. A YAML can weigh them better."""

ANY_TYPE: dict[str, Any] = {"weights": KNOWN_WEIGHTS, "negative_types": ["dismiss"]}


def config_of(name_or_path: str) -> dict[str, Any]:
    """Values of a `DataConfig` for a name in conf/data, a YAML file, or a folder, archive or file of data.

    Raises `ConfigError` on a broken YAML, `DataError` where it is none of these, listing the valid names.
    """
    name_or_path = database.url_of_file(name_or_path) or name_or_path
    if database.is_url(name_or_path):
        url, _, table = name_or_path.partition("#")
        source = {"kind": "events", "path": url, "default_type": "interaction", **({"table": table} if table else {})}
        return {"name": name_of(Path(url.rpartition("/")[2])), "source": source, **ANY_TYPE}
    if object_store.is_url(name_or_path):
        source = {"kind": "events", "path": name_or_path, "default_type": "interaction"}
        place = object_store.without_wildcards(name_or_path).rstrip("/")
        return {"name": name_of(Path(place.rpartition("/")[2])), "source": source, **ANY_TYPE}
    if name_or_path in names_in("data"):
        return _beside(root(), named_yaml("data", name_or_path), first=True)
    path = Path(name_or_path).expanduser()
    if not path.exists() and opening.WILD.search(name_or_path):
        opening.places_of(name_or_path)  # refuses a pattern that nothing matches
        source = {"kind": "events", "path": name_or_path, "default_type": "interaction"}
        return {"name": re.sub(r"\W+", "-", name_of(path)).strip("-") or "data", "source": source, **ANY_TYPE}
    if not path.exists():
        raise DataError(
            f"data '{name_or_path}'",
            rule="is neither a name in conf/data nor an existing file or folder",
            fix=valid_names(name_or_path, names_in("data")),
        )
    if path.is_file() and path.suffix in {".yaml", ".yml"}:
        return {"name": path.stem, **_beside(path.parent, read_yaml(path))}
    found = layout_of(FileTree(path))
    return {"name": name_of(path), **found, **_as_named(name_of(path), found["source"]["kind"])}


def _beside(folder: Path, values: dict[str, Any], first: bool = False) -> dict[str, Any]:
    """The values of a YAML file, with paths that lead nowhere from the current folder, but somewhere from the file's,
    made so. `first`: those of the repository's own, which mean the same from any folder."""
    source = values.get("source")
    if not isinstance(source, dict):
        return values
    found = {
        name: str(folder.resolve() / path)
        for name in PATHS
        if isinstance(path := source.get(name), str) and (first or not Path(path).exists()) and (folder / path).exists()
    }
    return {**values, "source": {**source, **found}}


def _as_named(name: str, kind: str) -> dict[str, Any]:
    """What conf/data says of a data set of this name and kind besides its source: by its path, the data is the same."""
    if name not in names_in("data"):
        return {}
    values = named_yaml("data", name)
    same = values.get("source", {}).get("kind") == kind
    return {key: value for key, value in values.items() if key not in ("name", "source")} if same else {}


def name_of(path: Path) -> str:
    """A data set's name from its path: without the suffixes of formats, archives and packings."""
    name = unpacked(path.resolve().name)
    for suffix in (*ARCHIVES, *opening.FORMATS):
        name = name.removesuffix(suffix)
    return usable(name) or "data"


def layout_of(tree: FileTree) -> dict[str, Any]:
    """Source, and split and weights where the layout decides them. Raises `DataError` where no layout fits."""
    a_file = tree.path.is_file() and not tree.is_archive
    folder = str(tree.path.parent if a_file else tree.path)
    if movielens.is_layout(tree):
        return {"source": {"kind": "movielens", "path": folder}}
    if any(unpacked(name).endswith(ncf.TRAIN) for name in tree.names):
        return {"source": {"kind": "ncf", "path": folder}, "split": {"method": "given"}}
    jsons = [name for name in tree.ending(".json") if json_layout.is_layout(tree, name)]
    tables = [name for name in tree.names if a_file] or _tables(tree)
    if len(jsons) == 1 and (a_file or set(tables) <= set(jsons)):
        return _json(tree, jsons[0])
    parts = {part: [name for name in tables if stem_of(name) in stems] for part, stems in STEMS.items()}
    if len(parts["path"]) == 1 and len(parts["test_path"]) == 1:
        return _events(tree, parts["path"][0], {part: names[0] for part, names in parts.items() if len(names) == 1})
    if len(tables) == 1:
        return _events(tree, tables[0], {})
    if len(tables) > 1 and not tree.is_archive and _alike(tree, tables):
        return _events(tree, None, {})
    raise DataError(
        str(tree.path),
        rule="holds no layout that is known: MovieLens, the NCF authors' files, JSON, or one table of events "
        f"({', '.join(opening.FORMATS)}), or parts of one"
        + (f"; it has {len(tables)} tables: {', '.join(map(_file, tables[:5]))}" if tables else ""),
        fix="Give one file, a pattern as part-*.csv, or write a YAML that says how to read it",
    )


STEMS = {"path": TRAIN_STEMS, "test_path": TEST_STEMS, "validation_path": VALIDATION_STEMS}


def _alike(tree: FileTree, tables: list[str]) -> bool:
    """Whether tables are parts of one: the same columns, and names that differ in numbers only."""
    columns = {frozenset(opening.opened(tree, name).names) for name in tables}
    return len(columns) == 1 and len({re.sub(r"\d+", "#", _file(name)) for name in tables}) == 1


def _tables(tree: FileTree) -> list[str]:
    tables = [name for name in opening.tables_in(tree) if stem_of(name) not in ITEM_STEMS]
    return tables if len(tables) < 2 else [name for name in tables if events.is_table(tree, name)]


def _json(tree: FileTree, name: str) -> dict[str, Any]:
    method = {"split": {"method": "given"}} if json_layout.brings_test(tree, name) else {}
    return {"source": {"kind": "json", "path": str(tree.on_disk(name))}, **ANY_TYPE, **method}


def _events(tree: FileTree, table: str | None, parts: dict[str, str]) -> dict[str, Any]:
    """`table` None: the whole folder. `parts`: files of their own for test and validation."""
    path = tree.path if table is None else tree.on_disk(table)
    source: dict[str, Any] = {"kind": "events", "path": str(path), "default_type": "interaction"}
    source |= {part: str(tree.on_disk(name)) for part, name in parts.items() if part != "path"}
    described = min(
        (name for name in tree.names if stem_of(name) in ITEM_STEMS and name != table), key=len, default=None
    )
    if described is not None and not tree.is_archive:
        source["items_path"] = str(tree.on_disk(described))
    return {"source": source, **ANY_TYPE, **({"split": {"method": "given"}} if "test_path" in source else {})}


def _file(name: str) -> str:
    return unpacked(PurePosixPath(name).name)


def stem_of(name: str) -> str:
    """A file's name in small letters without its endings: what it says of its content."""
    return _file(name).partition(".")[0].lower()
