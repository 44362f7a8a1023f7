"""The library in a notebook: frames in, lists with titles out, nothing written unless it is asked for."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import recstage
from recstage import registry, tracking
from recstage.errors import ConfigError, DataError

TITLES = pd.DataFrame({"item_id": range(30), "title": [f"Film <{i}>" for i in range(30)]})


@pytest.fixture(scope="module")
def frame():
    """60 users with numbers for ids who choose mostly even or mostly odd items."""
    chance = np.random.default_rng(3)
    rows = [
        (user, int(item)) for user in range(60) for item in chance.choice(np.arange(user % 2, 30, 2), 10, replace=False)
    ]
    found = pd.DataFrame(rows, columns=["user_id", "item_id"])
    return found.assign(timestamp=np.arange(len(found)) + 1_700_000_000)


@pytest.fixture(scope="module")
def als(frame):
    return recstage.fit("als", frame, items=TITLES, factors=8, iterations=8)


def test_a_list_has_titles_and_reasons(als):
    found = als.recommend([0, "1", "nobody"], k=4)
    assert found.groupby("user_id").size().tolist() == [4, 4, 4]
    assert found["title"].str.startswith("Film").all()
    assert found["reason"].str.len().min() > 0
    assert set(found[found["user_id"] == "nobody"]["method"]) == {"popularity"}


def test_lists_follow_the_taste_of_the_user(als):
    for user in (0, 1):
        assert (als.recommend(user, k=3)["item_id"].astype(int) % 2 == user % 2).all()


def test_a_list_shows_itself_as_a_table_and_escapes_its_titles(als):
    html = als.recommend(0, k=2)._repr_html_()
    assert html.count("<tr>") == 3
    assert "Film &lt;" in html
    assert "user 0" in html
    assert "dataframe" in als.recommend(0, k=2)[["item_id"]]._repr_html_()


def test_similar_items_and_explanations_have_titles(als):
    assert (als.similar(4, k=3)["item_id"].astype(int) % 2 == 0).all()
    why = als.explain(0, als.recommend(0, k=1)["item_id"].iloc[0])
    assert why["title"].str.startswith("Film").all()
    assert why.attrs["text"].startswith("You chose")


def test_held_out_rows_and_rows_of_ones_own_are_measured(als, frame):
    held_out = als.evaluate().set_index(["metric", "users"])["value"]
    assert 0 < held_out["ndcg_at_10", "all"] <= 1
    own = als.evaluate(frame.head(50)).set_index(["metric", "users"])["value"]
    assert "recall_at_20" in own.index.get_level_values(0)


def test_a_quick_look_writes_nothing(workspace, frame):
    before = {path for path in workspace.rglob("*") if path.is_file()}
    recstage.fit("popularity", frame).recommend()
    assert {path for path in workspace.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_one_keyword_logs_a_run_whose_model_answers_alike(workspace, frame):
    fitted = recstage.fit("als", frame, items=TITLES, log=True, factors=8, iterations=3)
    run = tracking.connect().get_run(fitted.source.removeprefix("run "))
    assert run.data.params["model.params.factors"] == "8"
    version = registry.register(run.info.run_id)
    registry.set_production("recommender", version.number, how="promote", by="ada")
    loaded = recstage.load("models:/recommender/Production")
    pd.testing.assert_frame_equal(pd.DataFrame(loaded.recommend(0)), pd.DataFrame(fitted.recommend(0)))


def test_no_preset_replaces_what_a_logged_fit_was_given(workspace, frame):
    fitted = recstage.fit("knn", frame, log=True, neighbors=7)
    run = tracking.connect().get_run(fitted.source.removeprefix("run "))
    assert (run.data.tags["preset"], run.data.params["model.params.neighbors"]) == ("default", "7")
    assert not any(name.startswith("preset_") for name in run.data.metrics)


def test_mistakes_are_told_with_the_fix(workspace, frame, als):
    with pytest.raises(DataError, match="there is no item_id"):
        recstage.fit("als", frame.rename(columns={"item_id": "film"}))
    with pytest.raises(ConfigError, match="factrs"):
        recstage.fit("als", frame, factrs=3)
    with pytest.raises(ConfigError, match="a version is models:/NAME/NUMBER"):
        recstage.load("models:/m-123")
    with pytest.raises(DataError, match="not among the items"):
        als.similar("nothing")


def test_importing_recstage_stays_cheap():
    code = "import sys, recstage; assert 'fit' in dir(recstage); print({'pandas', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
