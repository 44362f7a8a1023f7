"""What an event is worth, and how repeats of a pair combine."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recstage.config import DataConfig, SyntheticSource, ValueWeight, check
from recstage.data.dataset import config_of
from recstage.data.event_weights import to_log, usual_weight, weights_of
from recstage.data.schema import RawData

NAN = float("nan")


def events_of(*rows: tuple[str, str, int, str, float]) -> pd.DataFrame:
    columns = ["user_id", "item_id", "timestamp", "interaction_type", "value"]
    return pd.DataFrame(rows, columns=columns).astype({"timestamp": float, "value": float})


def weights_in(name: str, *typed: tuple[str, float]) -> list[float]:
    config = check(DataConfig, config_of(name), name)
    events = events_of(*[("u", f"i{n}", n, kind, value) for n, (kind, value) in enumerate(typed)])
    return [round(float(weight), 6) for weight in weights_of(events, config.weights)]


def test_the_feed_profile() -> None:
    assert weights_in("feed", ("view", NAN), ("click", NAN), ("like", NAN), ("share", NAN)) == [0.1, 0.3, 0.7, 1.0]


def test_the_advice_profile() -> None:
    assert weights_in("advice", ("implement", NAN), ("save", NAN), ("share", NAN), ("click", NAN)) == [1, 0.8, 0.6, 0.4]
    assert weights_in("advice", *[("rate", stars) for stars in (1, 3, 5)]) == [0.2, 0.6, 1.0]
    assert weights_in("advice", *[("view", seconds) for seconds in (0, 150, 300, 9000)]) == [0.1, 0.25, 0.4, 0.4]
    assert weights_in("advice", ("dismiss", NAN)) == [0.0]


@pytest.mark.parametrize(
    "kinds",
    [
        ("görüntüleme", "tıklama", "sepete ekleme", "satın alma", "sepetten çıkarma"),
        ("浏览", "点击", "加购", "购买", "取消收藏"),
        ("閲覧", "クリック", "カートに追加", "購入", "返品"),
        ("조회", "클릭", "장바구니 담기", "구매", "장바구니 삭제"),
        ("Просмотр", "клик", "в корзину", "покупка", "удаление из корзины"),
        ("wyświetlenie", "kliknięcie", "do koszyka", "zakup", "zwrot"),
    ],
    ids=["tr", "zh", "ja", "ko", "ru", "pl"],
)
def test_usual_types_in_other_languages(kinds: tuple[str, ...]) -> None:
    assert [usual_weight(kind) for kind in kinds] == [0.1, 0.4, 0.6, 1.0, 0.0]


def test_a_value_that_is_missing_earns_the_least() -> None:
    rule = ValueWeight(low=0.2, high=1.0, full=5)

    assert weights_of(events_of(("u", "i", 0, "rate", NAN)), {"rate": rule}).tolist() == pytest.approx([0.2])


def test_a_value_below_zero_earns_nothing() -> None:
    rule = ValueWeight(low=0.7, high=1.0, full=5)
    sold = events_of(("u", "i", 0, "purchase", -5), ("u", "j", 0, "purchase", 0), ("u", "k", 0, "purchase", 5))
    assert weights_of(sold, {"purchase": rule}).tolist() == pytest.approx([0.0, 0.7, 1.0])


def aggregated(rule: str, *events: tuple[int, str]) -> tuple[float, int]:
    """Weight and time of one pair after (time, type) events; `no` is a negative type worth 0."""
    config = DataConfig(
        name="x",
        source=SyntheticSource(),
        weights={"view": 0.1, "like": 0.7, "no": 0.0, "hate": -2.0},
        negative_types=("no", "hate"),
    )
    frame = events_of(*[("u", "i", when, kind, NAN) for when, kind in events])
    pairs = to_log(RawData(events=frame), config).aggregate(rule)  # type: ignore[arg-type]
    assert len(pairs) == 1
    return round(float(pairs.weight[0]), 6), int(pairs.timestamp[0])


@pytest.mark.parametrize(("rule", "weight"), [("sum", 0.9), ("max", 0.7), ("last", 0.1)])
def test_repeats_are_summed_or_the_greatest_or_the_last_counts(rule: str, weight: float) -> None:
    assert aggregated(rule, (1, "view"), (2, "like"), (3, "view")) == (weight, 3)


@pytest.mark.parametrize("rule", ["sum", "max", "last"])
def test_a_dismissal_at_the_end_is_the_last_word(rule: str) -> None:
    assert aggregated(rule, (1, "like"), (2, "like"), (3, "no")) == (0.0, 3)


@pytest.mark.parametrize("rule", ["sum", "max", "last"])
def test_a_like_after_a_dismissal_wins_the_item_back_and_counts_alone(rule: str) -> None:
    assert aggregated(rule, (1, "like"), (2, "no"), (3, "like")) == (0.7, 3)


def test_a_dismissal_keeps_a_weight_below_zero() -> None:
    assert aggregated("sum", (1, "like"), (2, "hate")) == (-2.0, 2)


def test_events_in_any_order_of_rows_give_the_same_pairs() -> None:
    assert aggregated("last", (3, "view"), (1, "like")) == (0.1, 3)


def test_pairs_of_equal_time_keep_the_order_of_the_source() -> None:
    config = DataConfig(name="x", source=SyntheticSource(), weights={"view": 1.0})
    frame = events_of(("u", "z", 5, "view", NAN), ("u", "a", 5, "view", NAN), ("u", "m", 5, "view", NAN))

    pairs = to_log(RawData(events=frame), config).aggregate("sum")

    assert pairs.to_frame()["item_id"].tolist() == ["z", "a", "m"]


def test_ids_are_sorted_whatever_the_order_of_rows() -> None:
    config = DataConfig(name="x", source=SyntheticSource(), weights={"view": 1.0})
    frame = events_of(("b", "y", 1, "view", NAN), ("a", "x", 2, "view", NAN))

    log, reversed_log = (to_log(RawData(events=rows), config) for rows in (frame, frame[::-1]))

    assert log.users.ids.tolist() == ["a", "b"]
    assert np.array_equal(log.item_index, reversed_log.item_index)
