"""What a word after `--data` means: a name in conf/data, a YAML file, or a path whose layout is found out."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from recstage.config import named_yaml, names_in, read_yaml
from recstage.data.files.file_tree import ARCHIVES, FileTree, unpacked
from recstage.data.sources import events, json_layout, movielens, ncf
from recstage.errors import DataError, valid_names

ITEM_FILES = ("items.csv", "items.jsonl", "items.parquet", "movies.dat", "movies.csv", "movies.jsonl")
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
"""For event files that nobody has written a YAML for: the usual types. A YAML says better what yours are worth."""


ANY_TYPE: dict[str, Any] = {"weights": KNOWN_WEIGHTS, "negative_types": ["dismiss"]}


def config_of(name_or_path: str) -> dict[str, Any]:
    """Values of a `DataConfig` for a name in conf/data, a YAML file, or a folder, archive or file of data.

    Raises `ConfigError` on a broken YAML, `DataError` where it is none of these, listing the valid names.
    """
    if name_or_path in names_in("data"):
        return named_yaml("data", name_or_path)
    path = Path(name_or_path).expanduser()
    if not path.exists():
        raise DataError(
            f"data '{name_or_path}'",
            rule="is neither a name in conf/data nor an existing file or folder",
            fix=valid_names(name_or_path, names_in("data")),
        )
    if path.is_file() and path.suffix in {".yaml", ".yml"}:
        return {"name": path.stem, **read_yaml(path)}
    return {"name": name_of(path), **layout_of(FileTree(path))}


def name_of(path: Path) -> str:
    """A data set's name from its path: without the suffixes of formats, archives and packings."""
    name = unpacked(path.resolve().name)
    for suffix in (*ARCHIVES, *events.FORMATS, ".json"):
        name = name.removesuffix(suffix)
    return name or "data"


def layout_of(tree: FileTree) -> dict[str, Any]:
    """Source, and split and weights where the layout decides them. Raises `DataError` where no layout fits."""
    a_file = tree.path.is_file() and not tree.is_archive
    folder = str(tree.path.parent if a_file else tree.path)
    if movielens.is_layout(tree):
        return {"source": {"kind": "movielens", "path": folder}}
    if any(unpacked(name).endswith(ncf.TRAIN) for name in tree.names):
        return {"source": {"kind": "ncf", "path": folder}, "split": {"method": "given"}}
    jsons = tree.ending(".json")
    tables = [name for name in tree.names if a_file] or _tables(tree)
    if len(jsons) == 1 and len(tables) in (0, int(a_file)):
        return _json(tree.on_disk(jsons[0]))
    if len(tables) == 1:
        return _events(tree, tables[0])
    raise DataError(
        str(tree.path),
        rule="holds no layout that is known: MovieLens, the NCF authors' files, JSON, or one table of events "
        f"({', '.join(events.FORMATS)})" + (f"; it has {len(tables)} tables" if tables else ""),
        fix="Give one file, or write a YAML that says how to read it",
    )


def _tables(tree: FileTree) -> list[str]:
    tables = [name for name in tree.ending(*events.FORMATS) if _file(name) not in ITEM_FILES]
    return tables if len(tables) < 2 else [name for name in tables if events.is_table(tree, name)]


def _json(file: Path) -> dict[str, Any]:
    method = {"split": {"method": "given"}} if json_layout.brings_test(FileTree(file)) else {}
    return {"source": {"kind": "json", "path": str(file)}, **ANY_TYPE, **method}


def _events(tree: FileTree, table: str) -> dict[str, Any]:
    source: dict[str, Any] = {"kind": "events", "path": str(tree.on_disk(table)), "default_type": "interaction"}
    described = tree.find(*ITEM_FILES)
    if described is not None and not tree.is_archive:
        source["items_path"] = str(tree.on_disk(described))
    return {"source": source, **ANY_TYPE}


def _file(name: str) -> str:
    return unpacked(PurePosixPath(name).name)
