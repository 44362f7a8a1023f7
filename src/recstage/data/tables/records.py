"""Lines of delimited text to records, before any parser sees them.

A quoted field may hold line breaks, and a quote that never closes would then hold the rest of the file. So records are
found here: each knows the line of the file in which it begins, and a quote that opens nothing is made plain text. What
comes out is delimited text in which every quote is well-formed, for Arrow to cut into columns.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

QUOTE, LINE_END = 34, 10
LONGEST_FIELD = 1 << 20  # bytes of a quoted field with line breaks: beyond, its quote is taken for plain text
MOST_LINES = 2000
SHOWN = 3


@dataclass(frozen=True)
class Records:
    """Whole records: their text, the file line each begins in (int64[n]), and whether any is quoted or broken over
    lines."""

    content: bytes
    lines: NDArray[np.int64]
    quoted: bool
    multiline: bool


@dataclass
class Framer:
    """Finds the records of blocks of lines, in order. `width` fields a record; `line` is the next line of the file.

    Counts on the way: `blank` and `comments` lines, which are no rows, and records with `stray` quotes.
    """

    separator: str
    width: int
    line: int = 1
    blank: int = 0
    comments: int = 0
    stray: int = 0
    first_stray: list[int] = field(default_factory=list)
    _rest: bytes = b""

    def __post_init__(self) -> None:
        self._grammar = _Grammar(self.separator.encode())

    def feed(self, block: bytes, *, last: bool) -> Records:
        """The records that end in `block`; what is unfinished waits for the next one, unless it is the `last`."""
        block = self._rest + block
        self._rest = b""
        if last and block and not block.endswith(b"\n"):
            block += b"\n"
        lines = _Lines(block, ord(self.separator))
        if not len(lines.ends):
            return Records(b"", np.empty(0, np.int64), False, False)
        opens = lines.opens_by_parity(self.width) if lines.quoted else np.zeros(len(lines.ends), bool)
        found = self._by_parity(lines, opens) if opens is not None and (not opens[-1] or not last) else None
        if found is None:
            found = self._one_by_one(lines, last)
        end, first, replaced = found
        if not end:
            self._rest = block
            return Records(b"", np.empty(0, np.int64), False, False)
        records = self._assembled(lines, end, first, replaced)
        self._rest = block[lines.starts[end] :] if end < len(lines.ends) else b""
        self.line += end
        return records

    def _by_parity(self, lines: _Lines, opens: NDArray[np.bool_]) -> tuple[int, NDArray[np.bool_], dict] | None:
        """Records end where as many quotes have opened as closed. None where the last one is too long to be one."""
        first = np.concatenate([[True], ~opens[:-1]])
        end = len(opens)
        if opens[-1]:
            end = int(np.flatnonzero(first)[-1])
            if len(lines.block) - lines.starts[end] > LONGEST_FIELD:
                return None
        return end, first[:end], {}

    def _one_by_one(self, lines: _Lines, last: bool) -> tuple[int, NDArray[np.bool_], dict[int, bytes]]:
        """Lines with quotes, each looked at: whole, the beginning of a longer record, or with a stray quote."""
        first = np.ones(len(lines.ends), bool)
        replaced: dict[int, bytes] = {}
        done = 0
        quoted = np.flatnonzero(lines.quotes_in)
        for nth, at in enumerate(quoted):
            if at < done:
                continue
            done = int(at) + 1
            text = lines.text(at)
            if self._grammar.whole.fullmatch(text):
                continue
            if lines.separators_in[at] == self.width - 1 and self._grammar.marks.fullmatch(text):
                continue  # quotes inside fields, as in 5" disk, are text to Arrow too
            if self._grammar.opening.fullmatch(text):
                closed = self._closing(lines, int(at), quoted[nth + 1 :])
                if closed == len(lines.ends) and not last and len(lines.block) - lines.starts[at] <= LONGEST_FIELD:
                    return int(at), first[:at], replaced
                if closed is not None and closed < len(lines.ends):
                    first[at + 1 : closed + 1] = False
                    done = closed + 1
                    continue
            fields, is_stray = self._fields(text)
            replaced[int(at)] = self._written(fields)
            self.stray += is_stray
            if is_stray and len(self.first_stray) < SHOWN:
                self.first_stray.append(self.line + int(at))
        return len(lines.ends), first, replaced

    def _closing(self, lines: _Lines, at: int, following: NDArray[np.int64]) -> int | None:
        """The line in which the field that line `at` opens is closed; the number of lines where none closes it so far,
        None where the quote is stray: what follows reads as rows of their own."""
        for other in following:
            if other - at > MOST_LINES or lines.ends[other] - lines.starts[at] > LONGEST_FIELD:
                return None
            text = lines.text(other)
            if self._grammar.closing.fullmatch(text):
                alone = (lines.separators_in[at : other + 1] == self.width - 1).all()
                return None if self.width > 1 and alone else int(other)
            if not self._grammar.within.fullmatch(text):
                return None
        return len(lines.ends) if len(lines.ends) - at <= MOST_LINES else None

    def _written(self, fields: list[str]) -> bytes:
        """A line of fields, with those that hold quotes or separators written properly."""
        return self.separator.join(
            '"' + one.replace('"', '""') + '"' if '"' in one or self.separator in one else one for one in fields
        ).encode()

    def _fields(self, line: bytes) -> tuple[list[str], bool]:
        """The fields of a line whose quotes are not well-formed, and whether any of them was taken for text: not where
        blanks stand before quotes, or backslashes in them."""
        text = line.decode()
        plain = text.split(self.separator)
        if len(plain) == self.width:
            return [
                one[1:-1].replace('""', '"') if len(one) > 1 and one[0] == one[-1] == '"' else one for one in plain
            ], True
        for how in ({"skipinitialspace": True}, {"escapechar": "\\", "doublequote": False, "skipinitialspace": True}):
            try:
                rows = list(csv.reader([text], delimiter=self.separator, **how))
            except csv.Error:
                continue
            if len(rows) == 1 and len(rows[0]) == self.width:
                return [str(one) for one in rows[0]], False
        return plain, True

    def _assembled(self, lines: _Lines, end: int, first: NDArray[np.bool_], replaced: dict[int, bytes]) -> Records:
        """The text of lines 0 to `end` without blank lines and comments between records, and with lines replaced."""
        blank = first & (lines.lengths[:end] == 0)
        comment = np.zeros(end, bool)
        for at in np.flatnonzero(first & lines.begins_with(b" ", end)):
            blank[at] = not lines.text(at).strip(b" ")
        for at in np.flatnonzero(first & lines.begins_with(b"#", end)):
            comment[at] = len(self._fields(lines.text(at))[0]) != self.width
        single = np.append(first[1:], True)  # the line is a record of its own
        blank, comment = blank & single, comment & single
        self.blank += int(blank.sum())
        self.comments += int(comment.sum())
        keep = ~(blank | comment)
        content = lines.joined(end, keep, {at: text for at, text in replaced.items() if keep[at]})
        numbers = self.line + np.flatnonzero(first & keep)
        return Records(content, numbers, lines.quoted, not first.all())


class _Lines:
    """The lines of a block, by their first byte and their line end."""

    def __init__(self, block: bytes, separator: int) -> None:
        self.block, self.separator = block, separator
        self.data = np.frombuffer(block, np.uint8)
        self.ends = np.flatnonzero(self.data == LINE_END)
        self.starts = np.concatenate([[0], self.ends[:-1] + 1]) if len(self.ends) else self.ends
        self.lengths = self.ends - self.starts
        self.quoted = b'"' in block
        self.quotes = np.flatnonzero(self.data == QUOTE) if self.quoted else np.empty(0, np.int64)
        self._separators_in: NDArray[np.int64] | None = None

    def text(self, at: int | np.integer) -> bytes:
        return self.block[self.starts[at] : self.ends[at]]

    @property
    def quotes_in(self) -> NDArray[np.int64]:
        return self._counted(self.quotes)

    @property
    def separators_in(self) -> NDArray[np.int64]:
        if self._separators_in is None:
            self._separators_in = self._counted(np.flatnonzero(self.data == self.separator))
        return self._separators_in

    def _counted(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.diff(np.searchsorted(places, self.ends), prepend=0)

    def begins_with(self, character: bytes, end: int) -> NDArray[np.bool_]:
        return self.data[self.starts[:end]] == character[0]

    def opens_by_parity(self, width: int) -> NDArray[np.bool_] | None:
        """Lines whose end lies inside a quoted field, if every quote opens or closes one as it should: bool[n]. None
        where one does not, and where the lines of a longer record read as rows of their own."""
        outside = np.array([self.separator, LINE_END, QUOTE], np.uint8)
        before = self.data[self.quotes - 1]
        if self.quotes[0] == 0:
            before = np.concatenate([[LINE_END], before[1:]]).astype(np.uint8)
        after = self.data[np.minimum(self.quotes + 1, len(self.data) - 1)]
        if not (np.isin(before[::2], outside).all() and np.isin(after[1::2], outside).all()):
            return None
        opens = np.searchsorted(self.quotes, self.ends) % 2 == 1
        if opens.any() and width > 1:
            first = np.flatnonzero(np.concatenate([[True], ~opens[:-1]]))
            alone = np.minimum.reduceat(self.separators_in == width - 1, first)
            if (alone & opens[first]).any():
                return None
        return opens

    def joined(self, end: int, keep: NDArray[np.bool_], replaced: dict[int, bytes]) -> bytes:
        stop = int(self.ends[end - 1]) + 1 if end else 0
        if not replaced:
            if keep.all():
                return self.block[:stop] if stop < len(self.block) else self.block
            return self.data[:stop][np.repeat(keep, self.lengths[:end] + 1)].tobytes()
        pieces, done = [], 0
        changes = {
            **{int(at): b"" for at in np.flatnonzero(~keep)},
            **{at: new + b"\n" for at, new in replaced.items()},
        }
        for at in sorted(changes):
            pieces += [self.block[done : self.starts[at]], changes[at]]
            done = int(self.ends[at]) + 1
        return b"".join([*pieces, self.block[done:stop]])


class _Grammar:
    """What a line with quotes may be, by regular expressions that never try twice (possessive)."""

    def __init__(self, separator: bytes) -> None:
        s = re.escape(separator)
        inside = rb'(?:[^"]++|"")*+'
        one = rb'(?:"%s"|[^"%s][^%s]*+|)' % (inside, s, s)
        strict, unquoted = rb'(?:"%s"|[^"%s]*+)' % (inside, s), rb'(?:[^"%s][^%s]*+|)' % (s, s)
        self.whole = re.compile(rb"%s(?:%s%s)*+" % (strict, s, strict))
        self.marks = re.compile(rb"%s(?:%s%s)*+" % (unquoted, s, unquoted))
        self.opening = re.compile(rb'(?:%s%s)*+"%s' % (one, s, inside))
        self.closing = re.compile(rb'%s"(?:%s%s)*+' % (inside, s, one))
        self.within = re.compile(rb'%s(?:"(?:%s%s)*+%s"%s)?+' % (inside, s, one, s, inside))
