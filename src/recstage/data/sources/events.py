"""Tables of events of any format, one row an event, columns mapped to ours: the usual export."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
import pandas as pd

from recstage.config import EventsSource
from recstage.data.files.file_tree import FileTree
from recstage.data.schema import CONTEXT, EVENT_COLUMNS, ITEM, TIME, TYPE, USER, VALUE, Places, RawData, Rejected
from recstage.data.sources.item_files import items_of, rejected_of
from recstage.data.sources.user_files import notes_of, users_of
from recstage.data.tables.names import EVENT_NAMES, filled_of, mapped, plain
from recstage.data.tables.opening import Format, labels_of, opened, places_of
from recstage.data.tables.table import Table, TableFile, joined
from recstage.data.tables.values.attributes import attributes_of
from recstage.data.tables.values.east_asian import SIGNS
from recstage.data.tables.values.ids import (
    IdRule,
    cut_off,
    first_of,
    ids_of,
    nothing_note,
    refuse_a_column_of,
    rejected_ids,
)
from recstage.data.tables.values.numbers import flags_of, grades_of, numbers
from recstage.data.tables.values.shown import shown
from recstage.data.tables.values.timestamps import TIME_OF_DAY, seconds_of
from recstage.data.tables.values.writings import several_writings
from recstage.errors import DataError, valid_names

log = logging.getLogger(__name__)
USUAL_TIMES = {plain(name) for name in EVENT_NAMES[TIME]}
DATE = r"^\s*(\d{4}-\d\d?-\d\d?|\d\d?[./-]\d\d?[./-]\d{4}|\d{4}/\d\d?/\d\d?|\d{4}\s*[年년][^:]*[日号號일])\s*$"
PARTS_OF_DATE = {
    "year": ("year", "jahr", "annee", "ano", "anno", "jaar", "yyyy"),
    "month": ("month", "monat", "mois", "mes", "mese", "maand", "mm"),
    "day": ("day", "dayofmonth", "tag", "jour", "dia", "giorno", "dag", "dd"),
    "hour": ("hour", "stunde", "heure", "hora", "ora", "uur", "hh"),
    "minute": ("minute", "min"),
    "second": ("second", "sec"),
}
TIME_STEMS = re.compile(r"time|zeit|hora|heure|hour|tijd|tid$|^ora|czas|время|时间|時刻|" + plain("시간"))
"""Names of columns of times of day."""
SINCE_1990, UNTIL_2050 = 6.3e8, 2.53e9
FEW_TYPES = 20
SHOWN = 5
LONGEST_VALUE = 6  # digits of a number that is a value and not an id


def files(config: EventsSource) -> list[Path]:
    """The files that `read` reads."""
    given = (config.path, config.test_path, config.validation_path, config.items_path, config.users_path)
    paths = [path for path in given if path]
    return sorted({tree.on_disk(name) for path in paths for tree, name in places_of(path)})


def read(config: EventsSource) -> RawData:
    """Raises `DataError` where a path holds no such table, it is empty or damaged, or a column is missing."""
    parts = [config.path, config.validation_path, config.test_path]
    files = [tables_of(path, config) if path else [] for path in parts]
    if not files[0]:
        raise DataError(config.path, rule="holds no table of events", fix="Give one file, or a folder of parts")
    flat = [one for some in files for one in some]
    filled = filled_of(flat[0][1].names, flat[0][1].rows)  # of the first for all: parts must be read alike
    read_ones = [Columns.of(opened_file, config, filled).read() for _, opened_file in flat]
    table = joined(read_ones, labels_of([place for place, _ in flat]))
    if config.validation_path and not config.test_path:
        raise DataError(
            f"source.validation_path = {config.validation_path}",
            rule="validation rows of their own go with test rows of their own",
            fix="Set source.test_path too",
        )
    events = typed_events(table, config.path, config.ids, config)
    frame = events.frame
    file_of = frame.index.to_numpy() >> Places.BITS
    first_validation, first_test = len(files[0]), len(files[0]) + len(files[1])
    items, users = items_of(config), users_of(config)
    return RawData(
        events=frame[file_of < first_validation] if len(flat) > 1 else frame,
        validation=frame[(file_of >= first_validation) & (file_of < first_test)] if files[1] else None,
        test=frame[file_of >= first_test] if files[2] else None,
        items=None if items is None else items.frame,
        users=None if users is None else users.frame,
        time_is_clock=events.is_clock,
        ordered=events.ordered,
        rows_read=table.rows_read,
        rejected=events.rejected,
        items_rejected=rejected_of(items),
        places=table.places,
        notes=(
            *table.notes,
            *events.notes,
            *(() if items is None else (f"items: {note}" for note in items.notes)),
            *notes_of(users),
        ),
    )


def is_table(tree: FileTree, name: str, config: EventsSource | None = None) -> bool:
    """Whether the file has columns of user and item ids under any usual name, or those that are configured."""
    config = config or EventsSource(path="")
    try:
        file = opened(tree, name, Format(config.separator, config.encoding, config.header, config.sheet))
        named = file.has_header or bool(config.columns)
        return named and {USER, ITEM} <= set(_ours(file, config))
    except DataError:
        return False


def refuse_a_part_that_differs(
    path: str, found: Sequence[tuple[FileTree, str]], chosen: Sequence[tuple[FileTree, str]]
) -> None:
    """Raises `DataError` where a file is left out that is called as the others are but for numbers (part-1, part-2): it
    is a part without a header, or a damaged one, and its rows would be lost."""

    def pattern(place: tuple[FileTree, str]) -> str:
        return re.sub(r"\d+", "#", place[1])

    patterns = {pattern(place) for place in chosen}
    for place in found:
        if place not in chosen and pattern(place) in patterns and "#" in pattern(place):
            raise DataError(
                f"{path}: {labels_of([place])[0]}",
                rule=f"lacks the columns of users and items that {labels_of(chosen)[0]} has, or its header",
                fix="Mend it, or take it out of the folder",
            )


def tables_of(path: str, config: EventsSource) -> list[tuple[tuple[FileTree, str], TableFile]]:
    """The parts that a path means; of a folder that holds other tables too, those that are of events."""
    how = Format(config.separator, config.encoding, config.header, config.sheet)
    found = places_of(path)
    if len(found) > 1:
        with_ids = [place for place in found if is_table(*place, config)]
        refuse_a_part_that_differs(path, found, with_ids)
        left_out = [place for place in found if with_ids and place not in with_ids]
        if left_out:
            named = ", ".join(labels_of(left_out)[:SHOWN])
            log.info("%s: left out without columns of users and items: %s", path, named)
        found = with_ids or found
    files = [(place, opened(*place, how)) for place in found]
    if len({tuple(sorted(file.names)) for _, file in files}) > 1 and Path(path).is_dir():
        names = ", ".join(labels_of(found)[:SHOWN])
        raise DataError(
            f"{path}: {names}",
            rule=f"must hold one table of events or parts with the same columns, and has {len(files)} that differ",
            fix="Give one of the files, or a pattern as part-*.csv",
        )
    return files


def _ours(file: TableFile, config: EventsSource, filled: Mapping[str, float] = {}) -> dict[str, str]:  # noqa: B006
    if not file.has_header and not config.columns:
        return _by_content(file)
    found = mapped(file.names, config.columns, EVENT_NAMES, setting="source.columns", where=file.where, filled=filled)
    if TIME not in found:
        time = _time_by_content({name: values for name, values in _samples(file).items() if name not in found.values()})
        found |= {} if time is None else {TIME: time}
    if TIME in found and TIME not in config.columns:
        found[TIME] = time_of_day_beside(found[TIME], _samples(file), found.values()) or found[TIME]
    return found


def time_of_day_beside(dates: str, columns: Mapping[str, list[str]], taken: Collection[str]) -> str | None:
    """The column of times of day that goes with one of dates without them, called as one of times is."""
    if not _all_are(columns[dates], DATE):
        return None
    free = (name for name in columns if name not in taken and TIME_STEMS.search(plain(name)))
    return next((name for name in free if _all_are(columns[name], TIME_OF_DAY)), None)


def _all_are(values: Sequence[str], pattern: str) -> bool:
    given = [value for value in values if value]
    return bool(given) and all(re.match(pattern, value) for value in given)


def _samples(file: TableFile) -> dict[str, list[str]]:
    return {name: [row[at] for row in file.rows if len(row) > at] for at, name in enumerate(file.names)}


def _time_by_content(columns: Mapping[str, list[str]]) -> str | None:
    """The last column that holds nothing but dates, or numbers as large as times since 1970 are: ids come first."""
    times = [name for name, values in columns.items() if any(values) and all(_is_time(v) for v in values if v)]
    return times[-1] if times else None


def _by_content(file: TableFile) -> dict[str, str]:
    """Our columns to those of a file without a header: a time by its size or form, then user and item as they come,
    then a small number as value and a few words as type."""
    columns = _samples(file)
    time = _time_by_content(columns) if len(columns) > 2 else None
    found = {} if time is None else {TIME: time}
    rest = [name for name in columns if name != time]
    found |= dict(zip((USER, ITEM), rest, strict=False))
    for name in rest[2:]:
        numeric = all(re.fullmatch(r"\s*-?\d+([.,]\d+)?\s*", value) for value in columns[name])
        if numeric and VALUE not in found and max(map(len, columns[name]), default=0) <= LONGEST_VALUE:
            found[VALUE] = name
        elif not numeric and TYPE not in found and len(set(columns[name])) <= FEW_TYPES:
            found[TYPE] = name
    return found


def _is_time(value: str) -> bool:
    try:
        number = float(value)
    except ValueError:
        return (
            re.match(SIGNS, value) is not None
            or re.match(r"\s*(\d{4}[-/]\d\d?[-/]\d\d?|\d\d?[./-]\d\d?[./-]\d{4})\b", value) is not None
        )
    return any(SINCE_1990 * unit <= number <= UNTIL_2050 * unit for unit in (1, 10**3, 10**6, 10**9))


@dataclass(frozen=True)
class Columns:
    """Which of a file's columns are ours, and, where one holds times of day only, which holds their dates."""

    file: TableFile
    ours: Mapping[str, str]
    date: str | None
    parts: tuple[str, ...]
    notes: tuple[str, ...]
    context: Mapping[str, str]

    @classmethod
    def of(cls, file: TableFile, config: EventsSource, filled: Mapping[str, float]) -> Columns:
        ours = _ours(file, config, filled)
        missing = [column for column in (USER, ITEM) if column not in ours]
        if missing:
            raise DataError(
                f"{file.where}: columns {', '.join(file.names)}",
                rule=f"no column for {' and '.join(missing)}",
                fix="Map them in source.columns, as in user_id: customer",
            )
        notes: tuple[str, ...] = ()
        if not file.has_header:
            taken = ", ".join(f"{theirs} as {column}" for column, theirs in ours.items())
            notes = (f"no header: {taken} (say otherwise in source.columns)",)
        elif TIME in ours and TIME not in config.columns and plain(ours[TIME]) not in USUAL_TIMES:
            notes = (f"{ours[TIME]} is taken as timestamp (say otherwise in source.columns)",)
        for name, theirs in config.context.items():
            if theirs not in file.names:
                fix = valid_names(theirs, file.names)
                raise DataError(f"source.context.{name} = {theirs}", rule=f"{file.where} has no such column", fix=fix)
        return cls(file, ours, _date_beside(file, ours, config), _date_in_parts(file, ours), notes, config.context)

    def read(self) -> Table:
        dates = [self.date] if self.date else []
        wanted = list(dict.fromkeys([*self.ours.values(), *dates, *self.parts, *self.context.values()]))
        coded = {self.ours[column] for column in (USER, ITEM, TYPE) if column in self.ours}
        table = self.file.read(wanted, coded)
        frame = pd.DataFrame({column: table.frame[theirs] for column, theirs in self.ours.items()})
        for name, theirs in self.context.items():
            frame[f"{CONTEXT}{name}"] = table.frame[theirs]
        if self.parts:
            frame[TIME] = _assembled(table.frame, self.parts)
        elif self.date:
            time = table.frame[self.ours[TIME]]
            frame[TIME] = (table.frame[self.date].astype(object) + " " + time.astype(object)).where(time.notna(), None)
        return Table(frame, table.rows_read, table.rejected, table.places, (*table.notes, *self.notes))


def _date_in_parts(file: TableFile, ours: Mapping[str, str]) -> tuple[str, ...]:
    """Columns of year, month and day (and hour, minute, second) where the times are such a day of the month."""
    if TIME not in ours or plain(ours[TIME]) not in PARTS_OF_DATE["day"]:
        return ()
    by_plain = {plain(name): name for name in file.names}
    found = [next((by_plain[one] for one in called if one in by_plain), None) for called in PARTS_OF_DATE.values()]
    several = tuple(takewhile(lambda name: name is not None, found))
    return several if len(several) >= 3 else ()  # type: ignore[return-value]


def _assembled(frame: pd.DataFrame, parts: Sequence[str]) -> pd.Series:
    """Moments of columns of year, month, day and so on, as ISO writes them."""
    marks = ("", "-", "-", "T", ":", ":")
    texts = [frame[name].astype(object).map(lambda v: v if v is None or v != v else f"{v}".strip()) for name in parts]
    whole = texts[0]
    for mark, text in zip(marks[1:], texts[1:], strict=False):
        whole = whole + mark + text.map(lambda v: v if v is None or v != v else v.removesuffix(".0").zfill(2))
    return whole + ":00" if len(parts) == 4 else whole


def _date_beside(file: TableFile, ours: Mapping[str, str], config: EventsSource) -> str | None:
    """The column of dates that goes with a column of times of day."""
    columns = _samples(file)
    if TIME not in ours or not _all_are(columns[ours[TIME]], TIME_OF_DAY):
        return None
    return next((name for name in columns if name not in ours.values() and _all_are(columns[name], DATE)), None)


@dataclass(frozen=True)
class TypedEvents:
    """Events with columns of ours, each of its type. `is_clock`, `ordered`: what their times are worth."""

    frame: pd.DataFrame
    rejected: Rejected
    is_clock: bool
    ordered: bool
    notes: tuple[str, ...]


def typed_events(table: Table, where: str, ids: IdRule = "auto", config: EventsSource | None = None) -> TypedEvents:
    """Columns under our names (user_id, item_id, and any of the others) in their types. Rows where something is there
    and nothing comes of it are rejected, each for the first such thing."""
    config = config or EventsSource(path=where, default_type="interaction", ids=ids)
    given, words = table.frame, table.places.words
    rejected, bad = table.rejected, pd.Series(False, given.index)
    columns: dict[str, pd.Series] = {}
    told_of_ids: list[str] = []
    for name in (USER, ITEM):
        columns[name], wrong = ids_of(given[name], ids)
        refuse_a_column_of(given[name], wrong, name, where)
        rejected += rejected_ids(wrong & ~bad, given[name], name, words)
        bad |= wrong
        told_of_ids += cut_off_note(cut_off(columns[name]), name)
        nothing = given.loc[columns[name].isna() & given[name].notna() & ~wrong, name]
        told_of_ids += nothing_note(map(str, nothing.unique()), name)
    columns[TIME], is_clock, ordered, of_time = _times(given, config, where)
    columns[VALUE], of_value = _values(given, config)
    for name in (TIME, *([] if of_value else [VALUE])):
        if name in given:
            lost = columns[name].isna() & given[name].notna() & ~bad
            told = [f"{words(at)}: {name} '{shown(v)}'" for at, v in first_of(given.loc[lost, name])]
            rejected += Rejected.of(f"unreadable {name}", int(lost.sum()), told)
            bad |= lost
    columns[TYPE] = _types(given, config)
    moment = attributes_of(given[[name for name in given if str(name).startswith(CONTEXT)]])
    frame = pd.concat([pd.DataFrame({name: columns[name] for name in EVENT_COLUMNS}), moment], axis=1)
    frame = frame[~bad] if bad.any() else frame
    if is_clock and (frame[TIME] % 1 > 0).any():
        frame = frame.sort_values(TIME, kind="stable")  # the order within a second, before fractions are cut off
    return TypedEvents(frame, rejected, is_clock, ordered, (*told_of_ids, *of_time, *of_value))


def cut_off_note(found: tuple[int, str], name: str) -> list[str]:
    """What there is to say of ids whose last digits are lost: how many (`values.ids.cut_off`), and the first."""
    count, first = found
    if not count:
        return []
    return [
        f"{count} of the different {name}s are numbers as {first}, whose last digits a spreadsheet has cut off: "
        "several may have become one; export them again as text"
    ]


def _times(given: pd.DataFrame, config: EventsSource, where: str) -> tuple[pd.Series, bool, bool, list[str]]:
    """Times, whether they are a clock's, whether they tell an order, and what there is to say."""
    if TIME in given and given[TIME].notna().any():
        seconds, is_clock = seconds_of(given[TIME], config.time, f"{where}: {TIME}", config.zone)
        notes = several_writings(given[TIME], seconds, config.time) if is_clock else []
        return seconds, is_clock, True, notes
    ordered = config.time == "rank"
    ranks = np.arange(len(given), dtype=np.float64) if ordered else np.zeros(len(given))
    notes = ["the column of times is empty"] if TIME in given and len(given) else []
    return pd.Series(ranks, given.index), False, ordered, notes


def _values(given: pd.DataFrame, config: EventsSource) -> tuple[pd.Series, list[str]]:
    """Values; a column that only its name makes one, and that mostly holds no numbers, is none."""
    nothing = pd.Series(np.nan, given.index)
    if VALUE not in given:
        return nothing, []
    values = numbers(given[VALUE], config.decimal)
    if values.isna().all() and (flags := flags_of(given[VALUE])) is not None:
        return flags, ["the column of values holds yes and no: yes is 1, no is 0"]
    if values.isna().all() and (grades := grades_of(given[VALUE])) is not None:
        return grades, ["the column of values holds grades in words or stars: their numbers are taken"]
    filled = int(given[VALUE].notna().sum())
    if VALUE not in config.columns and 2 * int((values.isna() & given[VALUE].notna()).sum()) > filled:
        return nothing, ["the column that is called like one of values holds no numbers and is not read"]
    return values, []


def _types(given: pd.DataFrame, config: EventsSource) -> pd.Series:
    if TYPE in given:
        return ids_of(given[TYPE])[0]
    one = pd.Categorical.from_codes(np.zeros(len(given), np.int8), categories=pd.Index([config.default_type]))
    return pd.Series(one, given.index)
