"""Small files of events and items, written badly in ways drawn by a seed: what the reader must survive."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

USERS = ["user_id", "userId", "Customer ID", "visitor", "UID", "account"]
ITEMS = ["item_id", "SKU", "movieId", "product", "asin", "Item-Id"]
TIMES = ["timestamp", "ts", "Date", "created_at", "event_time", "wann"]
TYPES = ["event", "interaction_type", "action", "was"]
JUNK = [
    '"',
    '""',
    '"5 inch',
    "'",
    "\\",
    "\x00",
    "\t",
    ",",
    ";",
    "|",
    "\u2028",
    "#",
    " ",
    "é",
    "\udc80",
    "=1+1",
    "-",
    "🙂",
    "\ufeff",
]


@dataclass(frozen=True)
class Mutated:
    """A file, and how many rows were meant to be in it (None where a mutation leaves that open)."""

    path: Path
    rows: int | None


def write(seed: int, folder: Path) -> Mutated:
    """The file of a seed."""
    rng = random.Random(seed)
    rows, names = _rows(rng), _names(rng)
    kind = rng.choices(["text", "jsonl", "json", "parquet", "feather", "xlsx"], [12, 3, 1, 2, 1, 1])[0]
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "text":
        return _text(rng, rows, names, folder)
    if kind in ("jsonl", "json"):
        return _json(rng, rows, names, folder, kind)
    whole = [[value.encode("utf-8", "replace").decode() for value in row] for row in rows]
    frame = pd.DataFrame(whole, columns=names)
    if rng.random() < 0.5:
        for name in frame:
            number = pd.to_numeric(frame[name], errors="coerce")
            if number.notna().mean() > 0.5:
                frame[name] = number
    path = folder / f"e{seed}.{kind}"
    if kind == "xlsx":
        frame = frame.map(lambda v: "".join(c for c in v if c >= " ") if isinstance(v, str) else v)
        frame.to_excel(path, index=False)
        return Mutated(path, None)
    buffer = io.BytesIO()
    frame.to_parquet(buffer) if kind == "parquet" else frame.to_feather(buffer)
    path.write_bytes(_damaged(rng, buffer.getvalue(), 0.1))
    return Mutated(path, None)


def _names(rng: random.Random) -> list[str]:
    names = [rng.choice(USERS), rng.choice(ITEMS), rng.choice(TIMES), rng.choice(TYPES)]
    return [name.upper() if rng.random() < 0.1 else name for name in names]


def _rows(rng: random.Random) -> list[list[str]]:
    user, item, time, kind = (
        rng.choice(IDS),
        rng.choice(IDS),
        rng.choice(TIMES_OF),
        rng.choice([("view", "buy"), ("pageview",), ("like", "dismiss", "Hide")]),
    )
    rows = []
    for n in range(rng.choice([0, 1, 2, 15, 20, 40, 60, 80, 120])):
        row = [user(rng.randrange(12)), item(rng.randrange(9)), time(n), rng.choice(kind)]
        for at in range(4):
            if rng.random() < 0.01:
                row[at] = rng.choice(
                    [
                        "",
                        "NULL",
                        "nan",
                        rng.choice(JUNK),
                        row[at] + rng.choice(JUNK),
                        rng.choice(JUNK) + row[at],
                        "x" * 400,
                    ]
                )
        rows.append(row)
    if rng.random() < 0.3:
        rng.shuffle(rows)
    return rows


IDS: list[Callable[[int], str]] = [
    str,
    lambda n: f"{n}.0",
    lambda n: f"{n:04}",
    lambda n: f" {n} ",
    lambda n: f"u{n}",
    lambda n: f"ü{n}",
    lambda n: f"{n},5",
    lambda n: f"a {n}",
    lambda n: f"1,{n:03}",
    lambda n: "true" if n % 2 else "false",
]
START = 1_672_920_000
TIMES_OF: list[Callable[[int], str]] = [
    lambda n: str(START + n),
    lambda n: str((START + n) * 1000),
    lambda n: f"{START + n}.25",
    lambda n: str(START),
    str,
    lambda n: f"2023-01-05 12:{n % 60:02}",
    lambda n: f"2023-01-{n % 28 + 1:02}T00:00:00Z",
    lambda n: f"{n % 28 + 1:02}.01.2023",
    lambda n: f"{n % 12 + 1}/5/2023",
    lambda n: f"202301{n % 28 + 1:02}",
    lambda n: str(44_931 + n / 10),
    lambda n: str(START + n) if n % 2 else f"2023-01-05 12:{n % 60:02}",
    lambda n: f"12:{n % 60:02}",
    lambda n: "",
    lambda n: "yesterday",
    lambda n: str(-n),
]


def _text(rng: random.Random, rows: list[list[str]], names: list[str], folder: Path) -> Mutated:
    separator = rng.choice([",", ",", ",", ";", ";", "\t", "|", "::", ", ", " "])
    quoting = rng.choice(["never", "needed", "needed", "always", "always", "random"])
    known = quoting in ("needed", "always") and len(separator.strip()) == 1

    def field(text: str) -> str:
        must = any(c in text for c in (separator.strip() or " ", '"', "\n", "\r"))
        quote = quoting == "always" or (quoting == "needed" and must) or (quoting == "random" and rng.random() < 0.3)
        return '"' + text.replace('"', '""') + '"' if quote else text

    lines = [separator.join(map(field, row)) for row in rows]
    if rng.random() < 0.85:
        lines.insert(0, separator.join(map(field, names)))
    else:
        known = False
    for mutation in rng.sample(
        [_ragged, _blank_lines, _comments, _stray_quotes, _trailing, _twice], rng.choice([0, 0, 0, 0, 0, 1, 2])
    ):
        lines = mutation(rng, lines, separator)
        known = False
    end = rng.choice(["\n", "\n", "\r\n", "\r"])
    text = end.join(lines) + (end if rng.random() < 0.8 else "")
    encoding = rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
    content = text.encode(encoding, "replace")
    known = known and end != "\r" and not any("\r" in cell or "\n" in cell for row in rows for cell in row)
    if rng.random() < 0.05:
        content, known = _damaged(rng, content, 1.0), False
    pack, suffix = rng.choice(
        [
            (bytes, ""),
            (bytes, ""),
            (gzip.compress, ".gz"),
            (bz2.compress, ".bz2"),
            (lzma.compress, ".xz"),
            (_zst, ".zst"),
        ]
    )
    path = folder / f"e.{rng.choice(['csv', 'tsv', 'txt', 'log'])}{suffix}"
    path.write_bytes(pack(content))
    return Mutated(path, len(rows) if known and len(rows) > 2 else None)


def _zst(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return packed


def _ragged(rng: random.Random, lines: list[str], separator: str) -> list[str]:
    return [
        line + separator + "more" if rng.random() < 0.05 else line[: len(line) // 2] if rng.random() < 0.05 else line
        for line in lines
    ]


def _blank_lines(rng: random.Random, lines: list[str], separator: str) -> list[str]:
    return [
        one
        for line in lines
        for one in ([line, rng.choice(["", "   ", separator * 3])] if rng.random() < 0.1 else [line])
    ]


def _comments(rng: random.Random, lines: list[str], separator: str) -> list[str]:
    return ["# by a program", *lines] if rng.random() < 0.5 else ["Report of Monday", "", *lines, "# end"]


def _stray_quotes(rng: random.Random, lines: list[str], separator: str) -> list[str]:
    out = list(lines)
    for _ in range(rng.choice([1, 2, 5])):
        if out:
            at = rng.randrange(len(out))
            place = rng.randrange(len(out[at]) + 1)
            out[at] = out[at][:place] + rng.choice(['"', '""', '"""', "'", '\\"']) + out[at][place:]
    return out


def _trailing(rng: random.Random, lines: list[str], separator: str) -> list[str]:
    return [line + separator for line in lines[: rng.choice([1, len(lines)])]] + lines[len(lines) :]


def _twice(rng: random.Random, lines: list[str], separator: str) -> list[str]:
    return [*lines, *lines]


def _json(rng: random.Random, rows: list[list[str]], names: list[str], folder: Path, kind: str) -> Mutated:
    def cell(text: str) -> object:
        if rng.random() < 0.02:
            return rng.choice([None, True, [1], {"a": 1}, 1.5, float("nan"), 10**30])
        return (
            float(text)
            if text.replace(".", "", 1).isascii() and text.replace(".", "", 1).isdigit() and rng.random() < 0.5
            else text
        )

    objects = [{name: cell(text) for name, text in zip(names, row, strict=True)} for row in rows]
    text = json.dumps(objects, indent=rng.choice([None, 1])) if kind == "json" else "\n".join(map(json.dumps, objects))
    path = folder / f"e.{kind}"
    path.write_bytes(_damaged(rng, text.encode("utf-8", "replace"), 0.2))
    return Mutated(path, None)


def _damaged(rng: random.Random, content: bytes, chance: float) -> bytes:
    """Cut off, or with some bytes replaced."""
    if rng.random() >= chance or not content:
        return content
    if rng.random() < 0.5:
        return content[: rng.randrange(len(content))]
    out = bytearray(content)
    for _ in range(rng.choice([1, 5, 50])):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)
