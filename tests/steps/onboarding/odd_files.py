"""Exports as they come: one small file of events in forty writings, each with what must be made of it."""

from __future__ import annotations

import datetime as dt
import decimal
import gzip
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

N = 300


@dataclass(frozen=True)
class Event:
    """One row: user, item, time, a grade from 1 to 5, a quantity, a price, a kind."""

    user: str
    item: str
    time: dt.datetime
    grade: int
    quantity: int
    price: float
    kind: str

    @property
    def seconds(self) -> int:
        return int(self.time.replace(tzinfo=dt.UTC).timestamp())


@dataclass(frozen=True)
class Odd:
    """`content` of a file (bytes, text, or what writes it); `columns`: ours to the file's; `kept` of `rows`."""

    name: str
    content: Any
    columns: dict[str, str]
    rows: int = N
    kept: int = N
    split: str = "temporal"
    form: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(self.content):
            self.content(path)
        else:
            path.write_bytes(self.content if isinstance(self.content, bytes) else self.content.encode())
        return path


def events() -> list[Event]:
    random = np.random.default_rng(11)
    start = dt.datetime(2026, 1, 3, 8)
    return [
        Event(
            f"K{random.integers(1, 41):04d}",
            f"A-{min(int(random.exponential(8)), 24):03d}",
            start + dt.timedelta(minutes=97 * at + int(random.integers(60))),
            int(random.integers(1, 6)),
            int(random.integers(1, 9)),
            int(random.integers(100, 9900)) / 100,
            str(random.choice(["view", "view", "view", "cart", "buy"])),
        )
        for at in range(N)
    ]


E = events()


def text(names: Sequence[str], cells: Callable[[int, Event], Sequence[object]], separator: str = ",") -> str:
    rows = [names, *(list(map(str, cells(at, one))) for at, one in enumerate(E))] if names else [
        list(map(str, cells(at, one))) for at, one in enumerate(E)
    ]  # fmt: skip
    return "\n".join(separator.join(row) for row in rows) + "\n"


def german(value: float) -> str:
    return f"{value:,.2f}".replace(",", "x").replace(".", ",").replace("x", ".")


def usual(user: str = "user", item: str = "item", time: str | None = "ts", **more: str) -> dict[str, str]:
    return {"user_id": user, "item_id": item, **({"timestamp": time} if time else {}), **more}


def delimited() -> Iterator[Odd]:
    plain = text(["user", "item", "ts"], lambda _, e: (e.user, e.item, e.seconds))
    yield Odd(
        "german.csv",
        "\ufeff"
        + text(
            ["Kundennummer", "Artikelnummer", "Bestelldatum", "Menge", "Betrag"],
            lambda _, e: (e.user, e.item, f"{e.time:%d.%m.%Y %H:%M}", e.quantity, german(e.price)),
            ";",
        ),
        usual("Kundennummer", "Artikelnummer", "Bestelldatum", value="Menge"),
        form={"separator": "semicolon", "decimal": "comma", "time": "dates, the day first"},
    )
    names = ["User ID", "Item ID", "Date", "Rating"]
    yield Odd(
        "utf16.txt",
        text(names, lambda _, e: (e.user, e.item, f"{e.time:%Y-%m-%d %H:%M}", e.grade), "\t").encode("utf-16"),
        usual("User ID", "Item ID", "Date", value="Rating"),
        form={"separator": "tab", "encoding": "UTF-16-LE with a byte order mark"},
    )
    yield Odd(
        "pipes.psv",
        text(["visitor", "sku", "ts", "event"], lambda _, e: (e.user, e.item, e.seconds * 10**6, e.kind), "|"),
        usual("visitor", "sku", interaction_type="event"),
        form={"separator": "bar", "time": "microseconds since 1970"},
    )
    yield Odd(
        "quoted.csv",
        text(
            ["user", "item", "time"],
            lambda _, e: (f'"Doe, {e.user}"', f'"bolt, ""{e.item}"""', e.time.isoformat()),
        ),
        usual(time="time"),
        form={"quotes": "double quotes", "time": "ISO 8601"},
    )
    yield Odd(
        "milliseconds.csv",
        text(["userId", "itemId", "timestamp"], lambda _, e: (e.user, e.item, e.seconds * 1000)),
        usual("userId", "itemId", "timestamp"),
        form={"time": "milliseconds since 1970"},
    )
    yield Odd(
        "two-units.csv",
        text(["user", "item", "ts"], lambda at, e: (e.user, e.item, e.seconds * (1000 if at % 3 else 1))),
        usual(),
    )
    yield Odd(
        "floats.csv", text(["uid", "iid", "ts"], lambda _, e: (e.user, e.item, f"{e.seconds}.25")), usual("uid", "iid")
    )
    yield Odd(
        "zones.csv",
        text(
            ["user", "item", "created_at"],
            lambda at, e: (e.user, e.item, e.time.isoformat() + ["+02:00", "Z", "-0500"][at % 3]),
        ),
        usual(time="created_at"),
        form={"zone": "in each value"},
    )
    writings = ["%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M", "%b %d %Y %H:%M"]
    yield Odd(
        "mixed-dates.csv",
        text(["user", "item", "date"], lambda at, e: (e.user, e.item, e.time.strftime(writings[at % 3]))),
        usual(time="date"),
        form={"time": "several writings: ISO 8601, dates as 31.01.2025, words or other writings"},
    )
    yield Odd(
        "japanese.csv",
        text(
            ["user", "item", "日時"],
            lambda _, e: (e.user, e.item, f"{e.time.year}年{e.time.month}月{e.time:%d日 %H:%M}"),
        ),
        usual(time="日時"),
        form={"time": "dates as 2025年3月2日", "zone": "none given: taken as UTC"},
    )
    yield Odd(
        "chinese.csv",
        text(["a", "b", "c"], lambda _, e: (e.user, e.item, f"{e.time:%Y年%m月%d日 %H时%M分}")),
        usual("a", "b", "c"),
    )
    yield Odd(
        "korean.csv",
        text(
            ["user", "item", "날짜", "시간"],
            lambda _, e: (e.user, e.item, f"{e.time.year}년 {e.time.month}월 {e.time.day}일", f"{e.time:%H:%M}"),
        ),
        usual(time="시간"),
    )
    yield Odd(
        "am-pm.csv",
        text(["User", "Product", "Order Date"], lambda _, e: (e.user, e.item, f"{e.time:%m/%d/%Y %I:%M:%S %p}")),
        usual("User", "Product", "Order Date"),
        form={"time": "dates, the month first"},
    )
    yield Odd(
        "date-and-time.csv",
        text(
            ["user", "item", "date", "time"],
            lambda _, e: (e.user, e.item, f"{e.time:%d/%m/%Y}", f"{e.time:%H:%M}"),
        ),
        usual(time="time"),
    )
    yield Odd(
        "time-of-day.csv",
        text(["user", "item", "time"], lambda _, e: (e.user, e.item, f"{e.time:%H:%M:%S}")),
        usual(time=None),
        split="ratio",
    )
    yield Odd("no-time.csv", text(["user", "item"], lambda _, e: (e.user, e.item)), usual(time=None), split="ratio")
    yield Odd(
        "liked.csv",
        text(["user", "item", "liked", "ts"], lambda _, e: (e.user, e.item, e.grade > 2, e.seconds)),
        usual(value="liked"),
    )
    yield Odd(
        "half-stars.csv",
        text(
            ["userId", "movie", "rating", "year"],
            lambda at, e: (e.user, e.item, e.grade - 0.5 * (at % 2), 1990 + int(e.item[2:])),
        ),
        usual("userId", "movie", None, value="rating"),
        split="ratio",
    )
    yield Odd(
        "years.csv",
        text(["user", "item", "year"], lambda at, e: (e.user, e.item, 2000 + at // 15)),
        usual(time="year"),
        kept=N - 2,
        form={"time": "dates as YYYY"},
    )
    yield Odd(
        "below-zero.csv",
        text(["user", "joke", "rating"], lambda _, e: (e.user, e.item, f"{e.price / 5 - 10:.2f}")),
        usual("user", "joke", None, value="rating"),
        split="ratio",
    )
    yield Odd(
        "invoices.csv",
        text(
            ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"],
            lambda at, e: (
                536365 + at // 3, e.item, f'"Lamp, {e.item}"', e.quantity if at % 40 else -e.quantity,
                f"{e.time:%m/%d/%Y %H:%M}", e.price, f"{17850 + int(e.user[1:])}.0" if at % 10 else "", "UK",
            ),
        ),
        usual("CustomerID", "StockCode", "InvoiceDate", value="Quantity"),
        kept=N - N // 10,
    )  # fmt: skip
    yield Odd(
        "sessions.csv",
        text(["session_id", "timestamp", "item_id"], lambda at, e: (at // 6, e.time.isoformat() + "Z", e.item)),
        usual("session_id", "item_id", "timestamp"),
    )
    yield Odd(
        "zeros.csv",
        text(
            ["kunde", "ean", "zeit"],
            lambda _, e: (e.user[1:], f"{4000000000 + int(e.item[2:]):013d}", f"{e.time:%d.%m.%y %H:%M}"),
            ";",
        ),
        usual("kunde", "ean", "zeit"),
    )
    yield Odd(
        "twice-named.csv",
        text(["id", "user", "item", "item", "date"], lambda at, e: (at, e.user, e.item, f"T {e.item}", e.time)),
        usual(time="date"),
    )
    yield Odd(
        "accents.csv",
        text(
            [" ID Utilisateur ", " PRODUIT ", " Date d'achat ", " Quantité"],
            lambda _, e: (e.user, e.item, f"{e.time:%d/%m/%Y %H:%M}", e.quantity),
            ";",
        ).encode("latin-1"),
        usual("ID Utilisateur", "PRODUIT", "Date d'achat", value="Quantité"),
        form={"encoding": "Windows-1252"},
    )
    yield Odd("comments.csv", "# exported by a tool\n# 2026\n\n" + plain, usual(), form={"header": "line 4"})
    yield Odd("title.csv", "Report of sales\nperiod: 2026\n\n" + plain, usual(), form={"header": "line 4"})
    yield Odd("blank-lines.csv", "\n\n" + plain.replace("\n", "\n\n"), usual())
    yield Odd("trailing.csv", plain.replace("\n", ",\n"), usual())
    yield Odd("totals.csv", plain + "Total,,123456\n", usual(), rows=N + 1)
    yield Odd("carriage-returns.csv", plain.replace("\n", "\r"), usual())
    yield Odd("pandas.csv", text(["", "user", "item", "ts"], lambda at, e: (at, e.user, e.item, e.seconds)), usual())
    yield Odd(
        "headerless.data",
        text([], lambda _, e: (e.user[1:], e.item[2:], e.grade, e.seconds), "\t"),
        usual("column_1", "column_2", "column_4", value="column_3"),
    )
    yield Odd(
        "unknown.csv",
        text(["a", "b", "c", "d"], lambda _, e: (e.item, e.user, e.time.isoformat(), e.kind)),
        usual("b", "a", "c", interaction_type="d"),
    )
    cyrillic = text(
        ["Пользователь", "Товар", "Дата", "Оценка"],
        lambda _, e: (e.user, e.item, f"{e.time:%d.%m.%Y %H:%M}", e.grade),
        ";",
    )
    expected = usual("Пользователь", "Товар", "Дата", value="Оценка")
    yield Odd("russian.csv", cyrillic, expected)
    yield Odd("windows-1251.csv", cyrillic.encode("cp1251"), expected, form={"encoding": "CP1251 (a guess)"})
    yield Odd(
        "log.csv",
        text(
            ["email", "page_url", "visited"],
            lambda _, e: (f"{e.user}@x.de", f"https://x.de/p/{e.item}", f"{e.time:%d/%b/%Y:%H:%M:%S} +0000"),
        ),
        usual("email", "page_url", "visited"),
    )
    yield Odd(
        "nothing.csv",
        text(
            ["user", "item", "ts", "type"],
            lambda at, e: (e.user if at % 20 else "NULL", e.item if at % 30 else "", e.seconds, e.kind),
        ),
        usual(interaction_type="type"),
        kept=N - 15 - 5,
    )


def others() -> Iterator[Odd]:
    yield Odd(
        "nested.jsonl",
        "".join(
            json.dumps(
                {
                    "event": {"type": e.kind, "ts": e.time.isoformat()},
                    "user": {"id": e.user},
                    "product": {"sku": e.item},
                }
            )
            + "\n"
            for e in E
        ),
        usual("user.id", "product.sku", "event.ts", interaction_type="event.type"),
    )
    rows = [{"customerId": e.user, "productId": e.item, "purchasedAt": e.time.isoformat()} for e in E]
    yield Odd("list.json", json.dumps(rows, indent=1), usual("customerId", "productId", "purchasedAt"))
    yield Odd("inside.json", json.dumps({"count": N, "events": rows}), usual("customerId", "productId", "purchasedAt"))
    plain = text(["user", "item", "ts"], lambda _, e: (e.user, e.item, e.seconds))
    yield Odd("packed.csv.gz", gzip.compress(plain.encode()), usual())

    def archive(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("export/events.csv", plain)
            file.writestr("README.txt", "hello\n")

    yield Odd("archive.zip", archive, usual())

    def typed(path: Path) -> None:
        table = {
            "user_id": pa.array([e.user for e in E]).dictionary_encode(),
            "item_id": pa.array([e.item for e in E]).dictionary_encode(),
            "price": pa.array([decimal.Decimal(str(e.price)) for e in E], pa.decimal128(10, 2)),
            "event_time": pa.array([e.time for e in E], pa.timestamp("ns", tz="Europe/Berlin")),
        }
        pq.write_table(pa.table(table), path)

    yield Odd("typed.parquet", typed, usual("user_id", "item_id", "event_time"), form={"zone": "in each value"})

    def numbered(path: Path) -> None:
        ids = [float(e.item[2:]) for e in E]
        table = {"user_id": [int(e.user[1:]) for e in E], "item_id": ids, "ts": [e.seconds * 10**9 for e in E]}
        pq.write_table(pa.table(table), path)

    yield Odd("nanoseconds.parquet", numbered, usual("user_id", "item_id"), form={"time": "nanoseconds since 1970"})

    def sheet(path: Path) -> None:
        rows = [{"Kunde": e.user, "Artikel": e.item, "Datum": e.time, "Bewertung": e.grade} for e in E]
        with pd.ExcelWriter(path) as file:
            pd.DataFrame([["a note"]]).to_excel(file, sheet_name="Info", index=False, header=False)
            pd.DataFrame(rows).to_excel(file, sheet_name="Orders", index=False, startrow=2)

    yield Odd("orders.xlsx", sheet, usual("Kunde", "Artikel", "Datum", value="Bewertung"))


ODD = [*delimited(), *others()]
