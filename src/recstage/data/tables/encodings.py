"""Bytes of any encoding as UTF-8 with `\\n` line ends, in blocks that end where a line does."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

import charset_normalizer

from recstage.errors import DataError

BLOCK = 1 << 24
LONGEST_LINE = 1 << 26
GUESSED_FROM = 1 << 18
HIGH = re.compile(rb"[\x80-\xff]+")
OF_OTHER_SCRIPTS = frozenset(
    ("cp1251", "koi8_r", "koi8_u", "mac_cyrillic", "cp866", "cp932", "shift_jis", "shift_jis_2004", "euc_jp", "gb18030",
     "gbk", "gb2312", "hz", "big5", "big5hkscs", "cp949", "euc_kr", "johab", "cp1253", "cp1255", "cp1256", "cp874")
)  # fmt: skip
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as UTF-16 does, hence before it
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def encoding_of(head: bytes) -> str:
    """The encoding that the first bytes show: a byte order mark, the zeros between Latin letters of UTF-16, or words of
    another script than Latin that are no UTF-8."""
    for mark, name in MARKS:
        if head.startswith(mark):
            return name
    sample = head[:4096]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if max(even, odd) * 3 > len(sample) // 2:
        if odd > 8 * even:
            return "utf-16-le"
        if even > 8 * odd:
            return "utf-16-be"
    return _of_another_script(head[:GUESSED_FROM]) or "utf-8"


def _of_another_script(head: bytes) -> str | None:
    """The encoding of text in another script: no line with other letters than ASCII is UTF-8, and such letters come in
    words, not one by one as accents do."""
    lines = [line for line in head.split(b"\n")[:-1] or [head] if not line.isascii()]
    if not lines or any(_is_utf8(line) for line in lines):
        return None
    text = b"\n".join(lines)
    words = HIGH.findall(text)
    if sum(map(len, words)) < 1.6 * len(words):
        return None
    found = charset_normalizer.from_bytes(text).best()
    return found.encoding if found is not None and found.encoding in OF_OTHER_SCRIPTS else None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


class TextBlocks:
    """Iterates over the text of `stream` in blocks of whole lines (the last may lack its line end).

    `encoding` None: found from the first bytes. Lines of a UTF-8 file that are no UTF-8 are read as Windows-1252 and
    counted in `legacy_lines`. Raises `DataError` on an encoding that is none or does not fit, and on an
    endless line.
    """

    def __init__(self, stream: BinaryIO, where: str, encoding: str | None = None, *, guessed: bool = False) -> None:
        self.where, self.legacy_lines = where, 0
        self._stream = stream
        self._head = stream.read(BLOCK)
        try:
            self.encoding = codecs.lookup(encoding).name if encoding else encoding_of(self._head)
            self.guessed = guessed or (not encoding and self.encoding in OF_OTHER_SCRIPTS)
        except LookupError as error:
            raise DataError(
                f"source.encoding = {encoding}", rule="no such encoding", fix="Give one, as utf-8, utf-16 or cp1252"
            ) from error

    @property
    def head(self) -> bytes:
        """The first bytes, as they are in the file."""
        return self._head

    @property
    def shown(self) -> str:
        """The encoding for a reader, with its byte order mark."""
        marked = any(self._head.startswith(mark) for mark, _ in MARKS)
        legacy = "Windows-1252" if self.legacy_lines and self.encoding == "utf-8" else self.encoding.upper()
        return legacy + (" with a byte order mark" if marked else " (a guess)" if self.guessed else "")

    def __iter__(self) -> Iterator[bytes]:
        rest, mac = b"", None
        for chunk in self._decoded():
            if mac is None and chunk:
                mac = b"\r" in chunk and b"\n" not in chunk
            text = rest + (chunk.replace(b"\r", b"\n") if mac else chunk)
            end = text.rfind(b"\n") + 1
            rest = text[end:]
            if len(rest) > LONGEST_LINE:
                raise DataError(
                    self.where,
                    rule=f"a line has more than {LONGEST_LINE >> 20} MiB: this is no table of lines",
                    fix="Give a delimited file, JSON lines or Parquet",
                )
            if end:
                yield self._clean(text[:end])
        if rest:
            yield self._clean(rest)

    def _decoded(self) -> Iterator[bytes]:
        """UTF-8 bytes without a mark, cut anywhere."""
        chunk = self._head
        if self.encoding == "utf-8":
            chunk = chunk.removeprefix(codecs.BOM_UTF8)
            while chunk:
                yield chunk
                chunk = self._stream.read(BLOCK)
            return
        decoder = codecs.getincrementaldecoder(self.encoding)("replace" if self.guessed else "strict")
        beginning = True
        while True:
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                raise DataError(
                    self.where,
                    rule=f"is not {self.encoding} throughout ({error.reason})",
                    fix="Set source.encoding to the file's, or write it as UTF-8",
                ) from error
            yield (text.removeprefix("\ufeff") if beginning else text).encode("utf-8", "replace")
            beginning = beginning and not text
            if not chunk:
                return
            chunk = self._stream.read(BLOCK)

    def _clean(self, block: bytes) -> bytes:
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b" ")
        if block.isascii():
            return block
        try:
            block.decode()
        except UnicodeDecodeError:
            return b"\n".join(map(self._line, block.split(b"\n")))
        return block

    def _line(self, line: bytes) -> bytes:
        try:
            line.decode()
        except UnicodeDecodeError:
            self.legacy_lines += 1
            try:
                return line.decode("cp1252").encode()
            except UnicodeDecodeError:
                return line.decode("latin-1").encode()
        return line
