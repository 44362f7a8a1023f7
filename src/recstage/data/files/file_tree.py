"""Where raw files lie: a folder, a zip or tar archive, or one file, read in the same way and never unpacked to disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import pyarrow as pa

from recstage.errors import DataError

PACKED = (".gz", ".bz2", ".xz", ".zst")
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
DEEPEST = 2  # folders below the one that is given, those not counted that are called COLUMN=VALUE
DAMAGED = (
    EOFError,
    UnicodeDecodeError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    pa.ArrowException,
)


class FileTree:
    """Named files of a folder or archive. Raises `DataError` where the path does not exist or is damaged."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        if not self.path.exists():
            raise DataError(
                f"data path '{path}'",
                rule="no such file or folder",
                fix="Correct the path, or give a name in conf/data",
            )

    @property
    def is_archive(self) -> bool:
        return self.path.is_file() and self.path.name.lower().endswith(ARCHIVES)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Paths of all files inside, relative, sorted; of a single file: its own name."""
        if self.path.is_dir():
            return tuple(sorted(self._names_in(self.path)))
        if not self.is_archive:
            return (self.path.name,)
        with damaged_is_an_error(self.path):
            if self.path.name.lower().endswith(".zip"):
                with zipfile.ZipFile(self.path) as archive:
                    return tuple(sorted(entry.filename for entry in archive.infolist() if not entry.is_dir()))
            with tarfile.open(self.path) as tar:
                return tuple(sorted(member.name for member in tar.getmembers() if member.isfile()))

    def _names_in(self, folder: Path, depth: int = 0) -> Iterator[str]:
        """Files below a folder, not deeper than data sets go, and none that are hidden."""
        with damaged_is_an_error(folder):
            entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        for entry in entries:
            if entry.is_file():
                yield entry.relative_to(self.path).as_posix()
            elif entry.is_dir() and depth < DEEPEST:
                yield from self._names_in(entry, depth + ("=" not in entry.name))

    def find(self, *wanted: str) -> str | None:
        """The shallowest file called one of `wanted`, packed (.gz, .bz2, .xz) or not; None if there is none."""
        matches = [name for name in self.names if unpacked(PurePosixPath(name).name) in wanted]
        return min(matches, key=lambda name: (name.count("/"), name), default=None)

    def ending(self, *suffixes: str) -> list[str]:
        """Files whose unpacked name ends with one of `suffixes`."""
        return [name for name in self.names if unpacked(name).lower().endswith(suffixes)]

    def read(self, name: str) -> bytes:
        """The unpacked bytes of one file."""
        with self.open(name) as stream, damaged_is_an_error(self.path):
            return stream.read()

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """The unpacked bytes of one file as a stream; damage that only shows on the way is a `DataError` as well."""
        with damaged_is_an_error(self.path if self.is_archive else self.on_disk(name)), ExitStack() as stack:
            raw = stack.enter_context(self._packed(name))
            yield stack.enter_context(unpacking(raw))

    def size(self, name: str) -> int | None:
        """Its bytes on disk, where it is neither packed nor in an archive."""
        plain = not self.is_archive and unpacked(name) == name
        return self.on_disk(name).stat().st_size if plain else None

    def label(self, name: str) -> str:
        """The file as messages call it."""
        return f"{self.path}: {name}" if self.is_archive else str(self.on_disk(name))

    def on_disk(self, name: str) -> Path:
        """The file that holds `name`: itself, or the archive."""
        return self.path / name if self.path.is_dir() else self.path

    @contextmanager
    def _packed(self, name: str) -> Iterator[BinaryIO]:
        if not self.is_archive:
            with self.on_disk(name).open("rb") as file:
                yield file
        elif self.path.name.lower().endswith(".zip"):
            with zipfile.ZipFile(self.path) as archive, archive.open(name) as inside:
                yield cast(BinaryIO, inside)
        else:
            with tarfile.open(self.path) as tar:
                member = tar.extractfile(name)
                if member is None:
                    raise tarfile.ReadError(f"{name} is not a file")
                yield cast(BinaryIO, member)


def unpacked(name: str) -> str:
    """A file name without the suffix of its packing."""
    return name[: name.rindex(".")] if name.lower().endswith(PACKED) else name


@contextmanager
def unpacking(stream: BinaryIO) -> Iterator[BinaryIO]:
    """A stream of plain bytes from one that may be packed, recognised by its first bytes."""
    head = stream.read(6)
    stream.seek(0)
    if head[:4] == b"\x28\xb5\x2f\xfd":
        with pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd") as plain:
            yield cast(BinaryIO, plain)
        return
    known: tuple[tuple[bytes, Callable[..., Any]], ...] = (
        (b"\x1f\x8b", gzip.open),
        (b"BZh", bz2.open),
        (b"\xfd7zXZ\x00", lzma.open),
    )
    opener = next((opener for magic, opener in known if head.startswith(magic)), None)
    if opener is None:
        yield stream
        return
    with opener(stream) as unpacked_stream:
        yield unpacked_stream


def text_of(content: bytes) -> str:
    """Text that is UTF-8 or, as the older MovieLens files are, latin-1."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def lines_of(content: bytes) -> list[str]:
    """Its lines, cut at line feeds only: texts hold other marks that Python would take for ends of lines."""
    return [line.removesuffix("\r") for line in text_of(content).split("\n")]


@contextmanager
def damaged_is_an_error(path: Path) -> Iterator[None]:
    """Turns what readers raise on truncated or foreign bytes, and what the disk refuses, into `DataError`."""
    try:
        yield
    except DAMAGED as error:
        raise DataError(str(path), rule=f"is truncated or damaged ({error})", fix="Get the file again") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            str(path), rule=f"cannot be read ({reason})", fix="Get the file again, or mend its permissions"
        ) from error
