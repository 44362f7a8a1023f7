"""Archives and folders with several files: the events are found among them, or the files are named."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from recstage.config import DataConfig, check
from recstage.data import dataset
from recstage.errors import DataError
from tests.steps.onboarding.shops import first_look, rows_of_a_shop

ROWS = [",".join(row) for row in rows_of_a_shop()]
EVENTS = "\n".join(["customer,sku,bought_at,action", *ROWS])
UNKNOWN = "\n".join(["a,b,c,d", *ROWS])
CUSTOMERS = "customer,country\nc1,DE\nc2,FR\n"
ABOUT = "a table, of events\nx, y\nz, w\n"


def packed(path: Path, files: Mapping[str, str]) -> Path:
    """An archive, or a folder where the name has no ending."""
    if not path.suffix:
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(content)
        return path
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["shop.zip", "shop"])
@pytest.mark.parametrize(
    ("files", "note"),
    [
        ({"shop.csv": EVENTS, "__MACOSX/._shop.csv": "\0\5\x16\7", ".DS_Store": "\0", "README.md": "hello"}, ""),
        ({"shop.csv": UNKNOWN, "README.txt": ABOUT}, "README.txt, no table"),
        ({"shop.csv": EVENTS, "customers.csv": CUSTOMERS}, "customers.csv, without columns of users and items"),
    ],
)
def test_the_one_table_of_events_is_read_and_what_is_left_out_is_told(
    workspace: Path, name: str, files: Mapping[str, str], note: str
) -> None:
    result = first_look(packed(workspace / name, files), "--name", "shop")
    assert result.profile.kept == len(ROWS)
    assert [one for one in result.notes if "left out" in one] == ([f"left out of {name}: {note}"] if note else [])
    assert dataset.load(check(DataConfig, dataset.config_of("shop"), "shop")).report["kept"] == len(ROWS)


def test_columns_that_are_said_choose_the_table(workspace: Path) -> None:
    path = packed(workspace / "shop.zip", {"one.csv": UNKNOWN, "two.csv": CUSTOMERS})
    with pytest.raises(DataError, match=r"one\.csv \(a, b, c, d\); two\.csv \(customer, country\).*Unpack it"):
        first_look(path)
    result = first_look(path, "--columns.user_id", "a", "--columns.item_id", "b")
    assert result.profile.kept == len(ROWS)


@pytest.mark.parametrize(("name", "fix"), [("shop.zip", "Unpack it, and give one of"), ("shop", "Give one of")])
def test_two_tables_of_events_that_differ_are_named_with_their_columns(workspace: Path, name: str, fix: str) -> None:
    carts = "\n".join(["customer,sku", *(row.rpartition(",")[0].rpartition(",")[0] for row in ROWS)])
    path = packed(workspace / name, {"shop.csv": EVENTS, "carts.csv": carts})
    inside = r"carts\.csv \(customer, sku\); shop\.csv \(customer, sku, bought_at, action\)"
    with pytest.raises(DataError, match=rf"{inside}: must hold one table of events.*{fix} the files, as carts\.csv"):
        first_look(path)


def test_items_inside_an_archive_are_named_with_the_events(workspace: Path) -> None:
    path = packed(workspace / "shop.zip", {"shop.csv": EVENTS, "items.csv": "sku,title\np1,Lamp\n"})
    with pytest.raises(DataError, match=r"shop\.csv beside items\.csv: .*Unpack it, and give the folder"):
        first_look(path)


def test_prepare_says_what_an_archive_holds_besides(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = packed(workspace / "shop.zip", {"shop.csv": EVENTS, "items.csv": "sku,title\np1,Lamp\n"})
    weights = {"pageview": 0.1, "add_to_basket": 0.6, "purchase": 1.0}
    given = {"name": "shop", "source": {"kind": "events", "path": str(path)}, "weights": weights}
    assert dataset.load(check(DataConfig, given, "shop")).report["kept"] == len(ROWS)
    assert [one for one in caplog.messages if "left out" in one] == [
        f"{path}: left out without columns of users and items: items.csv"
    ]
