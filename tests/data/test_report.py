"""The validation report: what it counts, how it tells drift, and its page."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from recstage.config import DataConfig, EventsSource, MinimumConfig
from recstage.data.cache import Dataset
from recstage.data.dataset import load
from recstage.data.report import distributions, drift
from recstage.data.report.page import page

Writer = Callable[[str, str | bytes], Path]


def prepared(write: Writer, cache: Path, users: int = 6, kind: str = "view") -> Dataset:
    rows = [f"u{u},i{i},{1_700_000_000 + 10 * i + u},{kind},{i}" for u in range(users) for i in range(5)]
    table = write("shop/e.csv", "\n".join(["user_id,item_id,timestamp,event,value", *rows, "<b>broken</b>"]) + "\n")
    items = write(
        "shop/items.csv", "item_id,title,price,department\ni0,<script>x</script>,2.5,Garden\ni9,New,,\nx,,,\n"
    )
    source = EventsSource(path=str(table), items_path=str(items))
    weights = {"view": 1.0, "buy": 1.0}
    return load(
        DataConfig(name="shop", source=source, weights=weights, minimum=MinimumConfig(interactions=1)), cache=cache
    )


def test_counts_fall_into_classes() -> None:
    counts = np.array([1, 1, 2, 3, 4, 5, 9, 10, 999, 1000, 5000])

    found = distributions.classes(counts)

    assert found["1"] == 2
    assert found["3-4"] == 2
    assert found["5-9"] == 2
    assert found["1000+"] == 2
    assert sum(found.values()) == len(counts)


@pytest.mark.parametrize(("counts", "expected"), [([5, 5, 5, 5], 0.0), ([0, 0, 0, 8], 0.75), ([1, 3], 0.25), ([], 0.0)])
def test_gini_by_hand(counts: list[int], expected: float) -> None:
    assert distributions.gini(np.array(counts, dtype=int)) == pytest.approx(expected)


def test_the_stability_index_by_hand() -> None:
    assert drift.stability({"a": 5, "b": 5}, {"a": 50, "b": 50}) == pytest.approx(0)
    expected = (0.8 - 0.5) * np.log(0.8 / 0.5) + (0.2 - 0.5) * np.log(0.2 / 0.5)
    assert drift.stability({"a": 8, "b": 2}, {"a": 5, "b": 5}) == pytest.approx(expected)
    assert [drift.judged(index) for index in (0.05, 0.2, 0.3)] == ["alike", "somewhat shifted", "shifted"]


def test_the_report_lies_beside_the_data_as_page_and_json(write: Writer, tmp_path: Path) -> None:
    dataset = prepared(write, tmp_path / "cache")
    folder = next((tmp_path / "cache").glob("shop-*"))

    report = json.loads((folder / "report.json").read_text())
    shown = (folder / "report.html").read_text()

    assert report["rows"] == report["kept"] + sum(report["dropped"].values()) == 31
    assert report["distributions"]["types"] == {"view": 30}
    assert report["distributions"]["values"]["view"]["50%"] == 2
    assert report["distributions"]["attributes"] == {
        "price": {"kind": "number", "filled": pytest.approx(1 / 7, abs=1e-4)}
    }
    assert report["drift"] is None
    assert "31 rows read = 30 kept + 1 dropped" in shown
    assert "line 32" in shown
    assert dataset.report["distributions"] == report["distributions"]


def test_the_page_needs_no_other_file_and_escapes_what_it_shows(write: Writer, tmp_path: Path) -> None:
    dataset = prepared(write, tmp_path / "cache")
    shown = page(dataset.report, name="<i>shop</i>", fingerprint="f", split="ratio")
    tags: list[tuple[str, dict[str, str | None]]] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            tags.append((tag, dict(attributes)))

    Tags().feed(shown)

    assert not {"script", "link", "img", "iframe", "i", "b"} & {tag for tag, _ in tags}
    assert not any("src" in attributes or "href" in attributes for _, attributes in tags)
    assert "&lt;script&gt;" in shown


def test_drift_is_told_against_the_last_preparation_of_the_same_data(write: Writer, tmp_path: Path) -> None:
    first = prepared(write, tmp_path / "cache")
    second = prepared(write, tmp_path / "cache", users=9, kind="buy")

    found = second.report["drift"]

    assert found["fingerprint"] == first.fingerprint
    assert found["counts"]["users"] == {"before": 6, "now": 9}
    assert found["users_kept"] == found["items_kept"] == 1.0
    assert found["stability"]["interaction types"]["judgement"] == "shifted"
    assert found["stability"]["events a user"]["judgement"] == "alike"
    folder = next((tmp_path / "cache").glob(f"shop-{second.fingerprint}"))
    assert "Against the last preparation" in (folder / "report.html").read_text()
