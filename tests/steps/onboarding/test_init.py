"""From a file of one's own to a data set of conf/data, without a hand on it."""

import json

import numpy as np
import pytest

from recstage.commands import app
from recstage.config import DataConfig, check, named_yaml
from recstage.data import dataset
from recstage.errors import ConfigError, DataError
from recstage.steps.onboarding import init


def shop(folder, *, header="customer;sku;bought_at;action", times=True, rows=600):
    """Semicolons, dates, three kinds of event of which purchases are the rarest."""
    random = np.random.default_rng(5)
    lines = [header]
    for at in range(rows):
        kind = random.choice(["pageview", "add_to_basket", "purchase"], p=[0.8, 0.15, 0.05])
        time = f"2026-03-{1 + at * 28 // rows:02d} 12:{at % 60:02d}:00"
        cells = [f"c{random.integers(40)}", f"p{random.integers(25)}", *([time] if times else []), kind]
        lines.append(";".join(cells))
    path = folder / "Shop Export.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def found(path, *words):
    return init.run(init.settings_from(["--path", str(path), "--yes", "true", *words]))


def test_columns_types_times_and_split_are_found_and_the_yaml_prepares(workspace):
    result = found(shop(workspace))
    assert result.name == "shop-export"
    expected = {"user_id": "customer", "item_id": "sku", "timestamp": "bought_at", "interaction_type": "action"}
    assert result.columns == expected
    assert sum(result.profile.types.values()) == result.profile.kept == 600
    config = check(DataConfig, named_yaml("data", "shop-export"), "shop-export")
    assert config.weights == {"pageview": 0.1, "add_to_basket": 0.7, "purchase": 1.0}
    assert config.split.method == "temporal"
    prepared = dataset.load(config)
    assert prepared.report["rows"] == 600
    assert prepared.report["dropped"] == {}


def test_data_without_an_order_is_split_at_random_and_the_report_says_so(workspace):
    result = found(shop(workspace, header="customer;sku;action", times=False))
    assert result.split == "ratio"
    assert any("what came first" in warning for warning in result.profile.warnings)


def test_items_that_do_not_join_are_told_with_their_share(workspace):
    items = workspace / "items.csv"
    items.write_text("sku,name\n" + "".join(f"p{i},Product {i}\n" for i in range(10)))
    result = found(shop(workspace), "--items", str(items))
    assert result.profile.items_described == 10
    assert any("describes 10 of 25 items (40%)" in warning for warning in result.profile.warnings)


def test_unknown_types_are_worth_the_more_the_rarer_they_are(workspace):
    path = shop(workspace)
    text = path.read_text()
    path.write_text(text.replace("pageview", "aaa").replace("add_to_basket", "bbb").replace("purchase", "ccc"))
    found(path)
    weights = named_yaml("data", "shop-export")["weights"]
    assert weights["aaa"] < weights["bbb"] < weights["ccc"] == 1.0


def test_columns_that_nothing_names_are_asked_for_in_one_line(workspace):
    path = shop(workspace, header="who;what;bought_at;action")
    with pytest.raises(DataError, match=r"none is known to hold user_id.*--columns\.user_id who"):
        found(path)
    result = found(path, "--columns.user_id", "who", "--columns.item_id", "what")
    assert result.profile.users == 40


def test_a_yaml_that_is_there_is_not_replaced_unasked(workspace):
    path = shop(workspace)
    found(path)
    with pytest.raises(ConfigError, match="is there already"):
        init.run(init.settings_from(["--path", str(path)]))


def test_the_command_prints_the_next_four_and_writes_both_reports(workspace, capsys):
    assert app.main(["init", str(shop(workspace)), "--yes", "--name", "shop", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [line.split()[:2] for line in result["next"][:3]] == [
        ["recstage", "train"],
        ["recstage", "promote"],
        ["recstage", "serve"],
    ]
    assert json.loads((workspace / "data" / "reports" / "shop.json").read_text())["name"] == "shop"
    assert "customer" in (workspace / "data" / "reports" / "shop.html").read_text()
