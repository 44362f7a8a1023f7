"""Which column of an unknown file means what: by its name, checked by what it holds, else by what it holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from recstage.data.event_weights import KNOWN_WEIGHTS
from recstage.data.schema import ITEM, TIME, TYPE, USER, VALUE
from recstage.data.sources.events import TIME_STEMS, time_of_day_beside
from recstage.data.tables.names import EVENT_NAMES, filled_of, mapped, plain, stem_of_id
from recstage.data.tables.table import TableFile
from recstage.data.tables.values.numbers import numbers
from recstage.steps.onboarding.facts.contents import OF_A_VISIT, Contents

MOST_TYPES = 100
A_MATRIX = 8  # columns
SESSION_STEMS = ("session", "visitid", "sitzung")
SHORT = 3  # letters: shorter stems must be a word of a name
STEMS: dict[str, tuple[str, ...]] = {
    USER: ("user", "custom", "client", "visitor", "member", "account", "person", "buyer", "shopper", "reviewer", "kund",
           "nutzer", "besucher", "mitglied", "kaufer", "utilisateur", "acheteur", "usuario", "utente", "klant",
           "gebruiker", "klient", "uzytkown", "uid", "who"),
    ITEM: ("item", "product", "produkt", "artik", "article", "articu", "articol", "sku", "movie", "film", "book",
           "song", "track", "prodott", "produit", "produto", "listing", "content", "what", "asin", "isbn", "ean",
           "ware"),
    TIME: ("time", "date", "zeit", "datum", "fecha", "heure", "hora", "tijd", "tid", "when", "year", "jahr", "wann",
           "moment", "stamp", "monat", "month", "annee", "anno", "ano"),
    TYPE: ("event", "action", "type", "typ", "ereignis", "aktion", "evento", "accion", "azione", "kind", "art", "was",
           "behav", "status", "verb"),
    VALUE: ("rating", "stars", "score", "wert", "bewert", "stern", "note", "punkt", "puntu", "valor", "voto", "qty",
            "quant", "quantity", "quantite", "quantita", "cantidad", "menge", "anzahl", "amount",
            "grade", "value", "duration", "dauer"),
}  # fmt: skip
"""What a name that is in no list may begin or end with, or hold: believed where the values agree."""


@dataclass(frozen=True)
class Meanings:
    """`columns`: ours to the file's; `why` of each, in words; `unsure`: ours to further columns that it could be, where
    the choice was one by content; `notes` are sentences."""

    columns: dict[str, str]
    why: dict[str, str]
    unsure: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether users and items are known."""
        return USER in self.columns and ITEM in self.columns

    def written(self, file: TableFile) -> dict[str, str]:
        """The columns for the YAML; those that a usual name would make ours, and that are not, as nothing."""
        filled = filled_of(file.names, file.rows)
        by_name = mapped(file.names, self.columns, EVENT_NAMES, setting="columns", where=file.where, filled=filled)
        return {**self.columns, **{ours: "" for ours in by_name if ours not in self.columns}}

    def told(self, ours: str, theirs: str) -> Meanings:
        """With a column as a user says it. Where it meant something else, the two change places."""
        before = self.columns.get(ours)
        columns = {name: column for name, column in self.columns.items() if column != theirs and name != ours}
        other = next((name for name, column in self.columns.items() if column == theirs and name != ours), None)
        if other is not None and before is not None:
            columns[other] = before
        found = {**columns, **({ours: theirs} if theirs else {})}
        return Meanings(
            {name: found[name] for name in EVENT_NAMES if name in found},
            {**self.why, ours: "as told"},
            {name: others for name, others in self.unsure.items() if name != ours},
            self.notes,
        )


def meanings_of(file: TableFile, contents: Contents, given: Mapping[str, str]) -> Meanings:
    """Our columns among a file's. What is `given` is taken as it is. Raises `DataError` on a name that is none."""
    filled = filled_of(file.names, file.rows)
    told = mapped(file.names, given, EVENT_NAMES, setting="columns", where=file.where) if given else {}
    found = {ours: theirs for ours, theirs in told.items() if ours in given}
    why = dict.fromkeys(found, "as told")
    notes: list[str] = []
    while file.has_header:  # until nothing speaks against what is called as ours
        by_name = mapped(file.names, given, EVENT_NAMES, setting="columns", where=file.where, filled=filled)
        objections = {
            theirs: (ours, objection)
            for ours, theirs in by_name.items()
            if ours not in given and (objection := _objection(ours, theirs, contents))
        }
        if not objections:
            for ours, theirs in by_name.items():
                if ours not in given and theirs not in found.values():
                    found[ours], why[ours] = theirs, "by its name"
            break
        notes += [f"{theirs} is not taken as {ours}: {why_not}" for theirs, (ours, why_not) in objections.items()]
        filled |= dict.fromkeys(objections, -1.0)
    if TIME in found and TIME not in given:
        columns = {name: contents.given(name).tolist() for name in file.names}
        found[TIME] = time_of_day_beside(found[TIME], columns, found.values()) or found[TIME]
    if USER in found and plain(found[USER]).startswith(SESSION_STEMS) and USER not in given:
        notes.append(f"{found[USER]}: sessions are taken as users, for want of a column of users")
    left = [name for name in file.names if name not in found.values()]
    for ours, theirs in _by_stems(left, [name for name in EVENT_NAMES if name not in {*found, *given}], contents):
        found[ours], why[ours] = theirs, "by its name and values"
    unsure = _by_content(file, contents, found, why, given)
    if why.get(USER) == "by its values" and OF_A_VISIT.match(plain(found[USER])):
        notes.append(
            f"{found[USER]}: what was ordered or seen together is taken as a user, for want of a column of users"
        )
    if VALUE in found:
        notes += _flags_beside(found[VALUE], file, contents)
    if VALUE not in {*found, *given}:
        scales = [name for name in file.names if name not in found.values() and contents.is_scale(name)]
        notes += [
            f"{name} holds small numbers and is not read: --columns.value '{name}' if it grades" for name in scales
        ]
    return Meanings({ours: found[ours] for ours in EVENT_NAMES if ours in found}, why, unsure, tuple(notes))


def _objection(ours: str, theirs: str, contents: Contents) -> str:
    """What speaks against a column of a usual name, or nothing."""
    if ours == TIME and not contents.may_be_time(theirs):
        return f"'{contents.first(theirs)}' is no time"
    if ours == TIME and contents.is_time_of_day(theirs) and not any(map(contents.is_time, contents.names)):
        return f"a time of day ('{contents.first(theirs)}') has no date, and no column of dates is beside it"
    if ours == VALUE and not (contents.is_number(theirs) or contents.is_flag(theirs) or contents.is_grade(theirs)):
        return f"'{contents.first(theirs)}' is no number"
    if ours == TYPE and contents.different(theirs) > MOST_TYPES:
        return f"it has {contents.different(theirs)} different values in the first rows"
    return ""


def _by_stems(left: Sequence[str], missing: Iterable[str], contents: Contents) -> Iterable[tuple[str, str]]:
    taken: set[str] = set()
    for ours in missing:
        for theirs in left:
            fits = resembles(theirs, ours)
            if theirs not in taken and fits and _agrees(ours, theirs, contents):
                taken.add(theirs)
                yield ours, theirs
                break


def resembles(theirs: str, ours: str) -> bool:
    """Whether a name begins or ends as those of ours do, or is one of an inner object ("product.sku")."""
    words, inner = plain(theirs), plain(theirs.rpartition(".")[2])
    parts = {plain(part) for part in re.findall(r"[^\W\d_]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", theirs))}
    for stem in STEMS[ours]:
        if len(stem) <= SHORT and stem in parts:
            return True
        of_ids = stem_of_id(theirs) if ours in (USER, ITEM) else words
        if len(stem) > SHORT and (words.startswith(stem) or words.endswith(stem) or of_ids.endswith(stem)):
            return True
    return "." in theirs and inner in {plain(name) for name in EVENT_NAMES[ours]}


def _agrees(ours: str, theirs: str, contents: Contents) -> bool:
    if ours in (USER, ITEM):
        return contents.may_be_id(theirs)
    if ours == TIME:
        return (contents.is_time(theirs) or contents.is_year(theirs)) and not contents.is_attribute(theirs)
    if ours == VALUE:
        return contents.is_number(theirs) and not contents.is_time(theirs)
    return contents.are_types(theirs, MOST_TYPES) and not contents.is_attribute(theirs)


def _by_content(
    file: TableFile, contents: Contents, found: dict[str, str], why: dict[str, str], given: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Adds to `found` what only the values tell; returns what else it could be."""
    unsure: dict[str, tuple[str, ...]] = {}

    def left() -> list[str]:
        return [name for name in file.names if name not in found.values()]

    if TIME not in {*found, *given}:
        times = [name for name in left() if contents.is_time(name)]
        times = [name for name in times if not contents.is_attribute(name)] or times
        if times:
            found[TIME], why[TIME] = times[-1], "by its values"
            if len(times) > 1:
                unsure[TIME] = tuple(times[:-1])
    missing = [ours for ours in (USER, ITEM) if ours not in {*found, *given}]
    if missing:
        free = [name for name in left() if not TIME_STEMS.search(plain(name))]
        candidates = contents.ids(free, known=[found[one] for one in (USER, ITEM) if one in found])
        chosen = _in_roles(missing, candidates, contents)
        for ours, theirs in chosen.items():
            found[ours], why[ours] = theirs, "by its values"
        if chosen:
            others = [name for name in candidates if name not in chosen.values()]
            unsure |= {ours: (*(one for one in chosen.values() if one != chosen[ours]), *others) for ours in chosen}
    if TYPE not in {*found, *given}:
        typed = next((name for name in left() if _known_types(contents, name)), None)
        if typed is not None:
            found[TYPE], why[TYPE] = typed, "by its values"
    if VALUE not in {*found, *given} and "by its values" in (why.get(USER), why.get(ITEM)):
        small = next((name for name in left() if contents.is_scale(name)), None)
        if small is not None:
            found[VALUE], why[VALUE] = small, "by its values"
    return unsure


def _flags_beside(value: str, file: TableFile, contents: Contents) -> list[str]:
    """Notes on columns that say yes or no of a row as the one that is read does: bought beside clicked."""
    usual = {plain(name) for name in EVENT_NAMES[VALUE]}
    others = [name for name in file.names if name != value and plain(name) in usual]
    flags = [name for name in others if contents.is_flag(name) or contents.is_zero_or_one(name)]
    return [f"{name} is not read beside {value}: --columns.value '{name}' to learn from it instead" for name in flags]


def _in_roles(missing: Sequence[str], candidates: Sequence[str], contents: Contents) -> dict[str, str]:
    """Users and items among columns of ids: by the letters that ids begin with, else in the order of the columns."""
    if len(missing) == 1:
        return dict(zip(missing, candidates[:1], strict=False))
    if len(candidates) < 2:
        return dict(zip((USER,), candidates, strict=False))
    first, second = candidates[:2]
    if contents.looks_like_items(first) or contents.looks_like_users(second):
        first, second = second, first
    return {USER: first, ITEM: second}


def _known_types(contents: Contents, name: str) -> bool:
    words = contents.words(name)
    return 0 < len(words) <= MOST_TYPES and any(plain(word) in KNOWN_WEIGHTS for word in words)


def is_matrix(file: TableFile, contents: Contents) -> bool:
    """Whether a file has a column for each item (or user) and a number or nothing in each cell."""
    rest = list(file.names[1:])
    if len(rest) < A_MATRIX or any(plain(name) in KNOWN for name in rest):
        return False
    cells = pd.Series([cell for row in file.rows for cell in row[1:] if cell.strip()], dtype=object)
    if not len(cells) or numbers(cells).isna().any():
        return False
    return not contents.is_number(file.names[0]) or _one_kind(rest)


def _one_kind(names: Sequence[str]) -> bool:
    """Whether names of columns are numbers, or one word with numbers (i1, i2, ...)."""
    return len({re.sub(r"\d+", "#", name) for name in names}) == 1


KNOWN = {plain(name) for names in EVENT_NAMES.values() for name in names}
