"""What came of lists, as columns of metrics: each list by hand."""

import pandas as pd

from recstage.experiments.outcomes import per_list


def test_each_metric_is_the_share_of_lists_with_its_outcomes():
    lists = pd.DataFrame({"request_id": ["clicked", "saved", "liked", "rated 4", "rated 3", "viewed", "nothing"]})
    outcomes = pd.DataFrame(
        [
            ("clicked", "a", "click", None),
            ("clicked", "b", "click", None),
            ("saved", "a", "save", None),
            ("liked", "a", "like", None),
            ("rated 4", "a", "rate", 4.0),
            ("rated 3", "a", "rate", 3.0),
            ("viewed", "a", "view", 2.5),
            ("viewed", "b", "view", 1.5),
            ("viewed", "b", "view", 9.0),
            ("of another experiment", "a", "click", None),
        ],
        columns=["request_id", "item_id", "outcome", "value"],
    )
    found = per_list(lists, outcomes).set_index("request_id")

    def lists_with(metric: str) -> list[str]:
        return found.index[found[metric] > 0].tolist()

    assert lists_with("click_through") == ["clicked"]
    assert lists_with("save") == lists_with("conversion") == ["saved"]
    assert lists_with("implement") == []
    assert lists_with("satisfaction") == ["liked", "rated 4"]
    assert found["view_seconds"].to_dict() == dict.fromkeys(found.index, 0.0) | {"viewed": 4.0}
