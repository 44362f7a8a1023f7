"""ALS by Spark MLlib: the same lists as here; one line where Spark or Java is missing, or the model is another."""

from __future__ import annotations

import os
import shutil
import sys

import numpy as np
import pytest

from recstage.errors import ConfigError, ExternalToolError
from recstage.models.baselines.popularity import Popularity
from recstage.models.factorization import spark_als
from recstage.models.factorization.als import ALS, ALSParams
from tests.models.synthetic_blocks import active_users, blocks, catalogue, disguised, group_of

PARAMS = ALSParams(factors=6, regularization=20.0, alpha=5.0, iterations=8, frequency_scaling=1.0)


@pytest.mark.integration
def test_spark_finds_what_the_local_solver_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark", reason="PySpark is an extra: pip install recstage[spark]")
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        pytest.skip("Spark needs Java: Debian has openjdk-17-jre-headless")
    reported: list[int] = []
    there = ALS(PARAMS).fit(
        blocks(), seed=1, catalogue=catalogue(), backend="spark", report=lambda step, _: reported.append(step)
    )
    here = ALS(PARAMS).fit(blocks(), seed=1, catalogue=catalogue())
    assert reported == [8]
    for user in active_users():
        ours, theirs = (model.recommend(user, 1).item_ids for model in (there, here))
        assert {group_of(item) for item in ours} == {group_of(item) for item in theirs} == {group_of(user)}
    users = blocks().all_users
    scores, expected = there.score(users)[:60], here.score(users)[:60]
    assert np.corrcoef(scores.ravel(), expected.ravel())[0, 1] > 0.98
    folded = there.score(disguised(users))[:60]
    np.testing.assert_allclose(folded, scores, atol=0.1)  # a user is folded in as they were trained


def test_without_pyspark_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(
        ConfigError, match=r"backend = spark: PySpark is not installed\. pip install 'recstage\[spark\]'"
    ):
        ALS(PARAMS).fit(blocks(), backend="spark")


def test_without_java_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(
        ConfigError, match=r"Spark needs Java, and there is none\. Install it .*openjdk-17-jre-headless"
    ):
        spark_als._require_java()


def test_what_spark_says_in_a_hundred_lines_is_one() -> None:
    with (
        pytest.raises(ExternalToolError, match=r"^Spark: it failed \(Job aborted\)\. Use backend=local"),
        spark_als._told(),
    ):
        raise RuntimeError("\n  Job aborted\n\tat org.apache.spark.scheduler\n" * 50)


def test_other_models_are_refused_on_spark() -> None:
    with pytest.raises(ConfigError, match=r"backend = spark for popularity: Spark fits als\. Use backend=local"):
        Popularity().fit(blocks(), backend="spark")
