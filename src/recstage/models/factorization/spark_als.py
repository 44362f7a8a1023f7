"""The same factorisation by Spark MLlib, an extra that needs Java: `pip install recstage[spark]`, `-P backend=spark`.

Spark's implicit ALS (https://spark.apache.org/docs/latest/ml-collaborative-filtering.html; Hu, Koren and Volinsky 2008,
solved exactly) regularises a row by its number of interactions, with one number for users and items. Scaling users
against items changes no score, so that this number can stand for two: it is chosen, and the factors are scaled back, so
that rows are regularised on average as `regularization` says. The session is Spark's own (`SPARK_REMOTE`, or the
spark-defaults.conf of `SPARK_CONF_DIR`), else one on the cores of this machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from recstage.errors import ConfigError, ExternalToolError

GIVEN = "backend = spark"
JAVA = 17
ENTRIES_A_BLOCK = 1_000_000
"""Interactions that one task of Spark solves."""


def factors_by_spark(
    extra: sparse.csr_matrix, factors: int, regularization: float, iterations: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors of the rows and columns of `extra` (confidence beyond 1, float32[n, m]): float32[n, factors],
    float32[m, factors]; zeros where a row or column has no entry.

    Raises `ConfigError` without PySpark or Java, `ExternalToolError` where Spark does not start or fails.
    """
    by_row, by_column = (extra.nnz / max(1, n) for n in extra.shape)
    balance = np.sqrt(np.sqrt(by_row / by_column))
    entries = extra.tocoo()
    blocks = max(2, extra.nnz // ENTRIES_A_BLOCK)
    table = pa.table(
        {"user": entries.row.astype(np.int32), "item": entries.col.astype(np.int32), "rating": entries.data}
    )
    with _session() as spark, _told():
        from pyspark.ml.recommendation import ALS

        fitted = ALS(
            rank=factors,
            maxIter=iterations,
            regParam=regularization / np.sqrt(by_row * by_column),
            alpha=1.0,
            implicitPrefs=True,
            seed=seed,
            numUserBlocks=blocks,
            numItemBlocks=blocks,
            userCol="user",
            itemCol="item",
            ratingCol="rating",
        ).fit(spark.createDataFrame(table))
        users = _dense(fitted.userFactors, extra.shape[0], factors)
        items = _dense(fitted.itemFactors, extra.shape[1], factors)
    return users * np.float32(balance), items / np.float32(balance)


def _dense(frame: Any, n: int, factors: int) -> NDArray[np.float32]:
    found = frame.select("id", "features").toArrow()
    out = np.zeros((n, factors), np.float32)
    vectors = found["features"].combine_chunks().flatten().to_numpy()
    out[found["id"].to_numpy()] = vectors.reshape(-1, factors)
    return out


@contextmanager
def _session() -> Iterator[Any]:
    """A session of Spark; one that was there before is left open."""
    sql = _pyspark_sql()
    before = sql.SparkSession.getActiveSession()
    if before is not None:
        yield before
        return
    builder = sql.SparkSession.builder.appName("recstage")
    if not os.environ.get("SPARK_REMOTE"):
        _require_java()
        if not os.environ.get("SPARK_CONF_DIR"):
            here = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
            quiet = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
            builder = builder.master("local[*]").config(map={**here, **quiet})
    with _told("it did not start"):
        session = builder.getOrCreate()
    try:
        yield session
    finally:
        session.stop()


@contextmanager
def _told(what: str = "it failed") -> Iterator[None]:
    """One line for what Java says in a hundred."""
    try:
        yield
    except Exception as error:  # PySpark, Py4J and gRPC have trees of their own
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ExternalToolError(
            "Spark", rule=f"{what} ({reason[:200]})", fix="Use backend=local, or see its log"
        ) from error


def _pyspark_sql() -> Any:
    try:
        import pyspark.sql
    except ImportError as error:
        fix = "pip install 'recstage[spark]', or use backend=local"
        raise ConfigError(GIVEN, rule="PySpark is not installed", fix=fix) from error
    return pyspark.sql


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java") is None and not (home and (Path(home) / "bin" / "java").is_file()):
        raise ConfigError(
            GIVEN,
            rule="Spark needs Java, and there is none",
            fix=f"Install it (Debian: openjdk-{JAVA}-jre-headless), set JAVA_HOME, or use backend=local",
        )
