"""Folders, archives and files are read alike."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from recstage.data.files.file_tree import FileTree, lines_of, text_of, unpacked
from recstage.errors import DataError

Writer = Callable[[str, str | bytes], Path]


def test_a_folder_is_searched_two_levels_deep_and_hidden_files_are_not_seen(write: Writer, tmp_path: Path) -> None:
    for name in ("a.csv", "x/b.csv", "x/y/c.csv", "x/y/z/d.csv", ".git/e.csv", ".f.csv"):
        write(name, "1")

    assert FileTree(tmp_path).names == ("a.csv", "x/b.csv", "x/y/c.csv")


def test_the_shallowest_file_of_a_name_is_found_packed_or_not(write: Writer, tmp_path: Path) -> None:
    write("deep/u.data", "far")
    write("u.data.gz", "near")

    place = FileTree(tmp_path)

    assert place.find("u.data") == "u.data.gz"
    assert place.read("u.data.gz") == b"near"
    assert place.find("u.item") is None


def zst(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zst, bytes])
def test_packings_are_told_by_their_first_bytes(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(pack(b"hello"))

    assert FileTree(tmp_path).read("a.csv") == b"hello"


def test_names_lose_the_suffix_of_their_packing_only() -> None:
    assert [unpacked(name) for name in ("a.csv.gz", "a.csv", "a.b.XZ")] == ["a.csv", "a.csv", "a.b"]


def test_text_is_utf_8_or_latin_1() -> None:
    assert text_of("é".encode()) == text_of("é".encode("latin-1")) == "é"
    assert text_of(b"\xef\xbb\xbfa") == "a"


def test_lines_end_at_line_feeds_only() -> None:
    assert lines_of("a\u2028b\r\nc".encode()) == ["a\u2028b", "c"]


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data path '.*/nothing': no such file or folder"):
        FileTree(tmp_path / "nothing")
