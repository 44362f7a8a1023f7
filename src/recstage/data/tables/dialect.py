"""How a delimited file is written, from its first lines: separator, header, what stands before the header."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from recstage.data.tables.names import is_usual
from recstage.errors import DataError

COMMON, RARE = ("\t", ",", ";", "|"), ("::", "^", "~", "\x01", " ")
SEPARATORS = COMMON + RARE
ONE_BYTE = "\x1f"
"""What stands for a separator of two characters while Arrow, which splits at one, reads."""
SWAP = str.maketrans("'\"", "\"'")
"""Single quotes for double ones and back: a file quoted by single ones is read as if by double ones."""
WRAPPED = "each line was one quoted field, and is read as a row"
SAMPLE_ROWS = 300
PREAMBLE = 20  # lines that may stand before the header
A_GROUP = re.compile(r"\d+:")
A_VALUE = re.compile(r"\s*([+-]?\d+([.,]\d+)*([eE][+-]?\d+)?|\d{4}[-/]\d\d?[-/]\d\d?.*|\d\d?[./]\d\d?[./]\d{4}.*)\s*")


@dataclass(frozen=True)
class Dialect:
    """`names` of the columns, one a field of a row; `skip` lines stand before the first row. `rows`: the first ones,
    cut as by this dialect. `notes`: what was found out that a user may want to know. `quoted`: whether one has
    quotes; `single`: whether those are single ones; `wrapped`: whether each line is, as a whole, one quoted field;
    `aligned`: whether blanks fill the columns to one width."""

    separator: str
    names: tuple[str, ...]
    has_header: bool
    skip: int
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    quoted: bool = False
    single: bool = False
    wrapped: bool = False
    aligned: bool = False


def dialect_of(
    sample: str, where: str, *, separator: str | None = None, header: bool | None = None, names: Sequence[str] = ()
) -> Dialect:
    """The dialect that the first lines of a file show; `names` where the file has no header and its columns are known.

    Raises `DataError` where no separator cuts the lines into columns.
    """
    if _wrapped(sample.split("\n"), separator):
        inside = "\n".join(map(unwrapped, sample.split("\n")))
        inner = dialect_of(inside, where, separator=separator, header=header, names=names)
        return replace(inner, wrapped=True, notes=(*inner.notes, WRAPPED))
    if _single_quoted(sample.split("\n"), separator):
        swapped = dialect_of(sample.translate(SWAP), where, separator=separator, header=header, names=names)
        shown = tuple(tuple(field.translate(SWAP) for field in row) for row in swapped.rows)
        return replace(swapped, names=tuple(one.translate(SWAP) for one in swapped.names), rows=shown, single=True)
    before, lines = _before_the_table(sample.split("\n"))
    declared = lines and re.fullmatch(r"\"?sep=(.)\"?", lines[0].strip(), re.IGNORECASE)  # Excel's own first line
    if declared:
        separator, before, lines = separator or declared[1], before + 1, lines[1:]
    if lines and A_GROUP.fullmatch(lines[0].strip()):
        raise DataError(
            f"{where}: '{lines[0].strip()}'",
            rule="a line that names the item of the rows below it (as in the Netflix Prize) is no row: rows are events",
            fix="Write the item into each row, in pandas: frame['item'] = frame.user.str.extract(r'(.+):$').ffill(), "
            "and leave these lines out",
        )
    if separator is None and _aligned(lines):
        return replace(dialect_of(evened_out(sample), where, separator=" ", header=header, names=names), aligned=True)
    found = separator or _separator_of(lines, where)
    rows = _cut(lines, found)
    quoted = any(re.search(rf'(^|{re.escape(found)}) *"', line) for line in lines[:SAMPLE_ROWS])
    if names:
        return Dialect(found, tuple(names), False, 0, tuple(row for _, row in rows), quoted=quoted)
    return replace(_with_header(rows, found, before, header), quoted=quoted)


def evened_out(text: str) -> str:
    """Lines of aligned columns with one blank between fields, and none before and after them."""
    return "\n".join(" ".join(line.split()) for line in text.split("\n"))


def _aligned(lines: list[str]) -> bool:
    """Whether blanks fill columns to one width: each line has as many words, and runs of blanks part them."""
    lines = [line for line in lines[:SAMPLE_ROWS] if line.strip()]
    widths = Counter(len(line.split()) for line in lines)
    several = len(lines) > 1 and len(widths) == 1 and next(iter(widths)) > 1
    return several and any("  " in line for line in lines) and not any(re.search(r'[,;|\t"]', line) for line in lines)


def unwrapped(line: str) -> str:
    """A line that is one quoted field, without its quotes."""
    end = line.rstrip()
    return end[1:-1].replace('""', '"') if len(end) > 1 and end[0] == end[-1] == '"' else line


def _wrapped(lines: list[str], separator: str | None) -> bool:
    """Whether each line is one quoted field in which a separator parts several, as a second export of a file makes."""
    lines = [line.rstrip() for line in lines[:SAMPLE_ROWS] if line.strip()]
    if len(lines) < 2 or not all(len(line) > 1 and line[0] == line[-1] == '"' for line in lines):
        return False
    inner = [line[1:-1].replace('""', "") for line in lines]
    return not any('"' in line for line in inner) and any(
        all(one in line for line in inner) for one in ([separator] if separator else COMMON)
    )


def _single_quoted(lines: list[str], separator: str | None) -> bool:
    """Whether single quotes enclose fields, and no field is in double quotes: nine of ten lines have such a field, or
    those whose fields are too many have as many as the others once single quotes hold separators."""
    if any(_only_where_needed(lines, one) for one in ([separator] if separator else COMMON)):
        return True
    lines = [line for line in lines[:SAMPLE_ROWS] if line.strip() and not line.startswith("#")]
    for one in map(re.escape, [separator] if separator else COMMON):
        if any(re.search(rf'(^|{one}) *"', line) for line in lines):
            continue
        enclosed = re.compile(rf"(^|{one}) *'(?:[^']|'')*' *(?={one}|$)")
        cut = [line for line in lines if re.search(one, line)]
        if len(cut) == len(lines) and sum(bool(enclosed.search(line)) for line in lines[1:]) > 0.9 * (len(lines) - 1):
            return len(lines) > 1
    return False


def _only_where_needed(lines: list[str], separator: str) -> bool:
    one = re.escape(separator)
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    needed = re.compile(rf"(?:^|{one}) *'(?:[^'{one}]|'')*{one}(?:[^']|'')*' *(?={one}|$)")
    quoting = [line for line in lines if needed.search(line)]
    if not quoting or any(re.search(rf'(^|{one}) *"', line) for line in lines[:SAMPLE_ROWS]):
        return False
    width = Counter(line.count(separator) for line in lines if not needed.search(line)).most_common(1) or [(0, 0)]
    most = width[0][0] or Counter(len(_fields_of(line, separator)) - 1 for line in quoting).most_common(1)[0][0]
    right = [len(_fields_of(line, separator)) - 1 == most != line.count(separator) for line in quoting]
    return most > 0 and sum(right) > 0.9 * len(right)


def _fields_of(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, quotechar="'", skipinitialspace=True))
    except (csv.Error, StopIteration):
        return [line]


def _before_the_table(lines: list[str]) -> tuple[int, list[str]]:
    """How many lines are blank or comments, and the others; a comment that holds names of columns is a header."""
    count = 0
    while count < len(lines) and (not lines[count].strip() or lines[count].startswith("#")):
        count += 1
    last = lines[count - 1] if count else ""
    if last.startswith("#") and any(is_usual(name) for name in re.split(r"[\t,;|]", last[1:])):
        return count - 1, [last[1:].lstrip(), *lines[count:]]
    return count, lines[count:]


def _separator_of(lines: list[str], where: str) -> str:
    """The one that cuts most lines into the same number of fields, more than one; common ones before rare ones."""
    best: tuple[tuple, str] | None = None
    for separator in SEPARATORS:
        counts = [len(row) for _, row in _cut(lines, separator)]
        several = Counter(count for count in counts if count > 1)
        if not several:
            continue
        width, lines_of_it = several.most_common(1)[0]
        share = lines_of_it / len(counts)
        if share < 0.5 or (separator in RARE and share < 0.95):
            continue
        key = (separator in COMMON, counts[0] == width, round(share, 1), width)
        if best is None or key > best[0]:
            best = key, separator
    if best is not None:
        return best[1]
    first = lines[0] if lines else ""
    likeliest = max(COMMON, key=first.count)
    if not first.count(likeliest):
        raise DataError(
            f"{where}: '{first[:60].strip()}'",
            rule="the first line must hold column names separated by a tab, comma, semicolon or bar",
            fix="Give a delimited file, or name its separator",
        )
    return likeliest


def _cut(lines: list[str], separator: str) -> list[tuple[int, tuple[str, ...]]]:
    """The first rows, with the number of lines before each: quotes are heeded unless one would swallow rows."""
    one = separator if len(separator) == 1 else ONE_BYTE
    texts = [line.replace(separator, one) for line in lines] if one != separator else lines
    rows: list[tuple[int, tuple[str, ...]]] = []
    at = 0
    while at < len(texts) and len(rows) < SAMPLE_ROWS:
        if not texts[at].strip(" "):
            at += 1
            continue
        reader = csv.reader((text + "\n" for text in texts[at : at + 50]), delimiter=one, skipinitialspace=one != " ")
        try:
            row = tuple(next(reader))
            used = reader.line_num
        except (csv.Error, StopIteration):
            row, used = tuple(texts[at].split(one)), 1
        if used > 1 and all(text.count(one) == texts[at].count(one) for text in texts[at : at + used]):
            row, used = tuple(texts[at].split(one)), 1  # a quote that never closes
        rows.append((at, tuple(field.strip() for field in row)))
        at += used
    return rows


def _with_header(rows: list[tuple[int, tuple[str, ...]]], separator: str, before: int, header: bool | None) -> Dialect:
    notes: list[str] = []
    cut = [row for _, row in rows]
    width = Counter(len(row) for row in cut[1:] or cut).most_common(1)[0][0]
    at = _header_at(cut, width)
    if at:
        notes.append(f"{at} lines before the header are no rows" if at > 1 else "a line before the header is no row")
    first = cut[at]
    has_header = header if header is not None else names_columns(first) and not _is_a_row(first, cut[at + 1 :])
    body = cut[at + 1 :] if has_header else cut[at:]
    if not has_header:
        names = [f"column_{n}" for n in range(1, width + 1)]
        skip = before + rows[at][0]
    else:
        names, more = _fitted(list(first), width, body)
        notes += more
        skip = before + (rows[at + 1][0] if at + 1 < len(rows) else rows[at][0] + 1)
        names, more = unique_names(names)
        notes += more
    return Dialect(separator, tuple(names), has_header, skip, tuple(body), tuple(notes))


def _header_at(rows: list[tuple[str, ...]], width: int) -> int:
    """The row that names the columns: the first, unless it is narrower than the table and a row of its width follows
    that names any. A first row may be padded with empty fields, as spreadsheets write a title: then a usual name must
    follow."""
    padded = len(rows[0]) >= width
    table = Counter(map(_filled, rows[1:])).most_common(1)[0][0] if len(rows) > 1 else 0
    if _usual(rows[0]) or (padded and _filled(rows[0]) >= table):
        return 0
    for at, row in enumerate(rows[:PREAMBLE]):
        if len(row) == width and (_usual(row) if padded else names_columns(row)):
            return at
    return 0


def _filled(row: Sequence[str]) -> int:
    """The number of fields up to the last that is not empty."""
    return max((at for at, field in enumerate(row, 1) if field), default=0)


def _usual(row: Sequence[str]) -> bool:
    return any(is_usual(name) for name in row)


def _is_a_row(first: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether words of a first line that has no usual name are values of the rows below it."""
    values = {field for row in body for field in row}
    return not _usual(first) and 2 * sum(field in values for field in first if field) > len(first)


def names_columns(row: Sequence[str]) -> bool:
    """Whether a row is a header: it holds a usual name, or nothing that is a number or a date."""
    return _usual(row) or not any(A_VALUE.fullmatch(field) for field in row)


def _fitted(names: list[str], width: int, body: Sequence[tuple[str, ...]]) -> tuple[list[str], list[str]]:
    """As many names as a row has fields, where separators end the rows or the header, or rows have names (R)."""
    whole = [row for row in body if len(row) == width]
    if len(names) == width - 1 and whole:
        if all(not row[-1] for row in whole):
            return [*names, ""], ["a separator ends each row"]
        return ["", *names], ["the first field of each row has no name in the header"]
    if len(names) == width + 1 and not names[-1]:
        return names[:-1], ["a separator ends the header"]
    return names, []


def unique_names(names: list[str]) -> tuple[list[str], list[str]]:
    """Names without quotes and blanks around them; columns without a name, or with one that is taken, get another."""
    taken: set[str] = set()
    notes = []
    for at, name in enumerate(names):
        name = name.strip().strip('"').strip() or f"column_{at + 1}"
        if name in taken:
            notes.append(f"two columns are called '{name}': the first is used")
            name = f"{name}_{at + 1}"
        taken.add(name)
        names[at] = name
    return names, notes
