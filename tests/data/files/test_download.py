"""The downloader against a server on this machine: whole, broken off, resumed, wrong, absent."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from recstage.config import MovieLensSource
from recstage.data import sources
from recstage.data.files import download
from recstage.errors import DataError, StoreError

CONTENT = random.Random(7).randbytes(300_000)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves `files`, by ranges where asked; the first `breaks` archives stop in the middle."""

    files: ClassVar[dict[str, bytes]] = {}
    breaks: ClassVar[int] = 0
    ranges: ClassVar[bool] = True
    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        Handler.asked.append((self.path, wanted))
        content = Handler.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and Handler.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if wanted and Handler.ranges else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        if Handler.breaks and self.path.endswith(".zip"):
            Handler.breaks -= 1
            self.wfile.write(rest[: len(rest) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(rest)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests' output stays clean."""


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    for proxy in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    Handler.files = {"/ml-32m.zip": CONTENT, "/ml-32m.zip.md5": f"{MD5}  ml-32m.zip\n".encode()}
    Handler.breaks, Handler.ranges, Handler.asked = 0, True, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def asked_for_the_archive() -> list[str | None]:
    return [wanted for path, wanted in Handler.asked if path == "/ml-32m.zip"]


def files_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if not file.name.endswith(".lock"))


def test_an_archive_arrives_whole_and_alone(base: str, tmp_path: Path) -> None:
    archive = download.release("32m", tmp_path / "downloads", base=base)

    assert archive.read_bytes() == CONTENT
    assert files_in(archive.parent) == ["ml-32m.zip"]


def test_what_is_there_is_not_asked_for_again(base: str, tmp_path: Path) -> None:
    download.release("32m", tmp_path, base=base)
    Handler.asked = []

    download.release("32m", tmp_path, base=base)

    assert Handler.asked == []


def test_a_broken_connection_is_resumed_where_it_stopped(base: str, tmp_path: Path) -> None:
    Handler.breaks = 2

    archive = download.release("32m", tmp_path, base=base)

    assert archive.read_bytes() == CONTENT
    first, second, third = asked_for_the_archive()
    assert first is None
    assert second == "bytes=150000-"
    assert third == "bytes=225000-"


def test_a_later_run_goes_on_where_the_first_gave_up(base: str, tmp_path: Path) -> None:
    Handler.breaks = download.ATTEMPTS
    with pytest.raises(DataError, match="cannot be downloaded"):
        download.release("32m", tmp_path, base=base)
    assert files_in(tmp_path) == ["ml-32m.zip.part"]
    begun = (tmp_path / "ml-32m.zip.part").stat().st_size
    Handler.asked = []

    archive = download.release("32m", tmp_path, base=base)

    assert asked_for_the_archive() == [f"bytes={begun}-"]
    assert archive.read_bytes() == CONTENT
    assert files_in(tmp_path) == ["ml-32m.zip"]


def test_a_server_without_ranges_starts_again(base: str, tmp_path: Path) -> None:
    Handler.breaks, Handler.ranges = 1, False

    assert download.release("32m", tmp_path, base=base).read_bytes() == CONTENT


def test_a_part_that_is_whole_already_is_taken(base: str, tmp_path: Path) -> None:
    (tmp_path / "ml-32m.zip.part").write_bytes(CONTENT)

    assert download.release("32m", tmp_path, base=base).read_bytes() == CONTENT


def test_a_part_of_something_else_is_thrown_away_and_fetched_from_the_start(base: str, tmp_path: Path) -> None:
    (tmp_path / "ml-32m.zip.part").write_bytes(b"of an older version")

    assert download.release("32m", tmp_path, base=base).read_bytes() == CONTENT
    assert asked_for_the_archive() == ["bytes=19-", None]


def test_a_wrong_checksum_is_refused_and_nothing_is_left(base: str, tmp_path: Path) -> None:
    Handler.files["/ml-32m.zip"] = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])

    with pytest.raises(DataError, match=rf"its MD5 must be {MD5}, and what came has [0-9a-f]{{32}}\. Try again later"):
        download.release("32m", tmp_path, base=base)

    assert files_in(tmp_path) == []


def test_a_release_whose_digest_is_known_is_held_to_it(base: str, tmp_path: Path) -> None:
    Handler.files["/ml-100k.zip"] = CONTENT

    with pytest.raises(DataError, match="its MD5 must be 0e33842e24a9c977be4e0107933c0723"):
        download.release("100k", tmp_path, base=base)


@pytest.mark.parametrize(
    "text", [f"{MD5}  ml-32m.zip", f"MD5 (ml-32m.zip) = {MD5.upper()}", MD5], ids=["md5sum", "bsd", "bare"]
)
def test_digests_in_every_spelling(base: str, text: str) -> None:
    Handler.files["/x.md5"] = text.encode()

    assert download.published_md5(f"{base}/x.md5") == MD5


def test_a_digest_file_without_a_digest_is_refused(base: str, tmp_path: Path) -> None:
    Handler.files["/ml-32m.zip.md5"] = b"<html>moved</html>"

    with pytest.raises(DataError, match=r"ml-32m\.zip\.md5: holds no MD5 digest"):
        download.release("32m", tmp_path, base=base)


def test_an_archive_that_is_gone_is_named(base: str, tmp_path: Path) -> None:
    del Handler.files["/ml-32m.zip"]

    with pytest.raises(DataError, match=r"ml-32m\.zip: cannot be downloaded .*404"):
        download.release("32m", tmp_path, base=base)

    assert files_in(tmp_path) == []


def test_offline_ends_with_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    with pytest.raises(DataError, match="check the connection, or download it by hand and give its path"):
        download.release("1m", tmp_path, base=f"http://127.0.0.1:{port}")

    assert files_in(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="file/downloads: cannot be written"):
        download.release("1m", tmp_path / "file" / "downloads")


def test_a_release_without_a_path_is_downloaded_and_a_path_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "release", lambda name, folder: folder / f"{name}.zip")
    monkeypatch.delenv("MY_DATA", raising=False)

    assert sources.located(MovieLensSource(release="1m"), tmp_path).path == f"{tmp_path}/1m.zip"
    assert sources.located(MovieLensSource(release="1m", path="${MY_DATA}/x"), tmp_path).path == f"{tmp_path}/1m.zip"
    monkeypatch.setenv("MY_DATA", "/data")
    assert sources.located(MovieLensSource(release="1m", path="${MY_DATA}/x"), tmp_path).path == "/data/x"


def test_without_a_connection_one_line_names_the_ways_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"127\.0\.0\.1 cannot be reached.*offline.*--data synthetic") as refusal:
        download.release("100k", tmp_path, base="http://127.0.0.1:9")
    assert "Errno" not in str(refusal.value)
