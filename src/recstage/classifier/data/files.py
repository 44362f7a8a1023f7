"""Labelled texts from JSON, JSON lines and CSV files (plain or .gz), field by field, with the place of each mistake."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recstage.classifier.data.samples import Bad, Sample
from recstage.data.tables.names import ALSO_TEXT
from recstage.errors import DataError

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv")
TITLES = ("title", "name")
TEXTS = ("text", "plot", "description", "summary", "overview")
CODES = ("taxonomy_codes", "codes", "categories", "genres", "labels", "tags")
FOLLOW_TEXT = tuple(name for name in ALSO_TEXT if name not in CODES)
SEPARATORS = "|;"
LARGEST_FILE = 2 << 30


def is_labelled_file(given: str) -> bool:
    """Whether `given` is the path of a file of one of these formats."""
    path = Path(given).expanduser()
    return path.name.lower().removesuffix(".gz").endswith(SUFFIXES)


def read(given: str) -> tuple[list[Sample | Bad], tuple[str, ...]]:
    """The samples of a file and its `metadata.taxonomy`. Raises `DataError` where the file cannot be read."""
    path = Path(given).expanduser()
    text = _text(path)
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".csv"):
        return list(_of_csv(path, text)), ()
    if name.endswith(".json"):
        return _of_json(path, text)
    return list(_of_lines(text)), ()


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if path.name.lower().endswith(".gz"):
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(LARGEST_FILE)
        return content.decode("utf-8-sig")
    except OSError as error:
        raise DataError(str(path), rule=f"it cannot be read ({error.strerror or error})", fix="Check it") from error
    except (UnicodeDecodeError, EOFError) as error:
        raise DataError(str(path), rule="it is not UTF-8 text", fix="Save it as UTF-8") from error


def _of_json(path: Path, text: str) -> tuple[list[Sample | Bad], tuple[str, ...]]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(str(path), rule=f"it is no JSON ({error})", fix="Correct it") from error
    if isinstance(content, list):
        content = {"samples": content}
    if not isinstance(content, dict) or not isinstance(content.get("samples"), list):
        raise DataError(
            str(path),
            rule='it must be {"metadata": {...}, "samples": [{"text", "taxonomy_codes", "confidence"}]}',
            fix="Give it that form",
        )
    metadata = content.get("metadata", {})
    taxonomy = metadata.get("taxonomy", ()) if isinstance(metadata, dict) else ()
    if not isinstance(taxonomy, list | tuple) or not all(isinstance(code, str) for code in taxonomy):
        raise DataError(str(path), rule="metadata.taxonomy is a list of codes", fix="Correct it, or leave it out")
    samples = [sample_of(values, f"sample {place}") for place, values in enumerate(content["samples"], 1)]
    return samples, tuple(taxonomy)


def _of_lines(text: str) -> Iterator[Sample | Bad]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            yield Bad(f"line {number}", f"it is no JSON ({error})")
        else:
            yield sample_of(values, f"line {number}")


def _of_csv(path: Path, text: str) -> Iterator[Sample | Bad]:
    csv.field_size_limit(1 << 30)
    reader = csv.DictReader(io.StringIO(text, newline=""))
    header = [name.strip().lower() for name in reader.fieldnames or ()]
    if not set(header) & {*TEXTS, *TITLES} or not set(header) & set(CODES):
        raise DataError(
            str(path),
            rule=f"its header names {', '.join(header) or 'nothing'}; text and taxonomy_codes are needed",
            fix="Give it a header line: text,taxonomy_codes,confidence (codes separated by |)",
        )
    reader.fieldnames = header
    for row in reader:
        yield sample_of(row, f"line {reader.line_num}")


def sample_of(values: Any, place: str) -> Sample | Bad:
    """A sample from its fields: text (or title and plot, description ...), taxonomy_codes (or categories, genres ...; a
    list, or one text with | or ; between), confidence (1 where it is not given). Director, actors, author, keywords and
    brand follow the text, as they do in a catalogue; tags do not, for they may be the codes."""
    if not isinstance(values, Mapping):
        return Bad(place, "it is no object")
    title, body = _first(values, TITLES), _first(values, TEXTS)
    if any(part is not None and not isinstance(part, str) for part in (title, body)):
        return Bad(place, "its text is no text")
    codes = codes_of(_first(values, CODES))
    if codes is None:
        return Bad(place, "its codes are no list of texts")
    confidence = _confidence(values.get("confidence"))
    if confidence is None:
        return Bad(place, f"its confidence is no number above 0 and at most 1 ({values.get('confidence')!r})")
    also = [_words(value) for name, value in values.items() if name in FOLLOW_TEXT]
    whole = " ".join(part for part in (body, *also) if part)
    return Sample(joined(title or "", whole), codes, confidence, place)


def joined(title: str, body: str) -> str:
    """Title and text as one text."""
    return f"{title.strip()}. {body.strip()}" if title.strip() and body.strip() else (title.strip() or body.strip())


def codes_of(given: Any) -> tuple[str, ...] | None:
    """Codes from a list or a text; None where they are neither."""
    if given is None:
        return ()
    if isinstance(given, str):
        for separator in SEPARATORS:
            given = given.replace(separator, "\n")
        given = given.split("\n")
    if not isinstance(given, Sequence) or not all(isinstance(code, str) for code in given):
        return None
    return tuple(dict.fromkeys(code.strip() for code in given if code.strip()))


def _confidence(given: Any) -> float | None:
    if given is None or given == "":
        return 1.0
    try:
        value = float(given)
    except (TypeError, ValueError):
        return None
    return value if 0 < value <= 1 and not isinstance(given, bool) else None


def _words(given: Any) -> str:
    """A text, or a list of texts one after the other; '' for anything else."""
    if isinstance(given, list | tuple):
        return " ".join(filter(None, map(_words, given)))
    return given.strip() if isinstance(given, str) else ""


def _first(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)
