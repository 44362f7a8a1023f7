"""Which files a path means (one, a folder or pattern of parts, an archive), and the reader of each."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from recstage.data.files.file_tree import FileTree, unpacked
from recstage.data.tables.delimited import DelimitedFile
from recstage.data.tables.json_rows import JsonFile, is_json
from recstage.data.tables.partitions import PartitionedFile, partitions_of
from recstage.data.tables.table import TableFile
from recstage.data.tables.typed import ARROW, PARQUET, SHEETS, ArrowFile, SheetFile
from recstage.errors import DataError

TEXT = (".csv", ".tsv", ".txt", ".tab", ".psv", ".dat", ".log")
JSON = (".jsonl", ".ndjson", ".json", ".jsonlines")
FORMATS = (*TEXT, *JSON, *PARQUET, *ARROW, *SHEETS)
HEAD = 1 << 16
WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Format:
    """What a user may say of a file, where finding out goes wrong."""

    separator: str | None = None
    encoding: str | None = None
    header: bool | None = None
    sheet: str | None = None


def places_of(path: str) -> list[tuple[FileTree, str]]:
    """The files that `path` means, in the order of their names with numbers as numbers: itself, the tables of a folder
    or archive, or all that a pattern (`*`, `?`) matches. Raises `DataError` where there is none."""
    if not Path(path).expanduser().exists() and WILD.search(path):
        found = sorted(glob.glob(str(Path(path).expanduser()), recursive=True), key=natural)
        files = [(FileTree(one), FileTree(one).names[0]) for one in found if Path(one).is_file()]
        if not files:
            raise DataError(f"data path '{path}'", rule="no file matches it", fix="Correct the pattern")
        return files
    tree = FileTree(path)
    if tree.path.is_file() and not tree.is_archive:
        return [(tree, tree.names[0])]
    return [(tree, name) for name in sorted(tables_in(tree), key=natural)]


def refuse_missing(path: str, given: str) -> None:
    """Raises `DataError` of a path that leads to no file, with the setting that it was `given` by."""
    if not Path(path).expanduser().exists() and not glob.glob(str(Path(path).expanduser()), recursive=True):
        raise DataError(given, rule="no such file or folder", fix="Correct the path")


def tables_in(tree: FileTree) -> list[str]:
    """Files of a folder or archive that may hold tables, by their names; markers such as _SUCCESS are none."""
    return [name for name in tree.ending(*FORMATS) if not PurePosixPath(name).name.startswith(("_", "."))]


def opened(tree: FileTree, name: str, how: Format = Format()) -> TableFile:  # noqa: B008 - it is frozen
    """The reader of a file, by what it is, else by the ending of its name, with the columns of its folders. Raises
    `DataError` where it cannot be read."""
    file = _reader_of(tree, name, how)
    columns = partitions_of(name if tree.is_archive or tree.path.is_dir() else tree.path.as_posix())
    return PartitionedFile(file, columns) if columns else file


def _reader_of(tree: FileTree, name: str, how: Format) -> TableFile:
    ending = PurePosixPath(unpacked(name)).suffix.lower()
    with tree.open(name) as stream:
        head = stream.read(HEAD)
    if ending in PARQUET + ARROW or head.startswith((b"PAR1", b"ARROW1")):
        return ArrowFile(tree, name)
    if ending in SHEETS and (head.startswith((b"PK", b"\xd0\xcf\x11\xe0")) or not head.strip()):
        return SheetFile(tree, name, how.sheet)
    if is_json(head, called_so=ending in JSON):
        return JsonFile(tree, name, how.encoding)
    return DelimitedFile(tree, name, separator=how.separator, encoding=how.encoding, header=how.header)


def labels_of(files: Sequence[tuple[FileTree, str]]) -> list[str]:
    """Short names of files for messages: their own, or from where they differ."""
    return [PurePosixPath(name).name for _, name in files]


def natural(name: object) -> list[tuple[int, object]]:
    """A key of order by which part-10 comes after part-9."""
    text = str(name[1]) if isinstance(name, tuple) else str(name)
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text) if part]
