"""The saved view, in MLflow's own UI and a real browser: the columns and rows behind its link."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Metric
from werkzeug.serving import make_server

from recstage import tracking
from recstage.tracking import experiment_page
from tests.browser import CHROMIUM, FLAGS

pytestmark = pytest.mark.slow

FIGURES = ("ndcg_at_10", "hit_rate_at_10", "recall_at_20", "coverage_at_10", "novelty_at_10", "latency_p95_ms")
HEADINGS = ("Run Name", "Created", "model", "data", "split", *FIGURES, "fit_seconds", "Models", "Dataset")
PATIENCE_MS = 90_000


@pytest.fixture
def ui(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """MLflow's server on the store of the workspace, in a thread of this process: a program takes ten seconds."""
    from mlflow import server
    from mlflow.server import handlers

    monkeypatch.setenv(server.BACKEND_STORE_URI_ENV_VAR, tracking.store_uri())
    monkeypatch.setenv(server.ARTIFACT_ROOT_ENV_VAR, (workspace / "mlruns").as_uri())
    monkeypatch.setattr(handlers, "_tracking_store", None)
    monkeypatch.setattr(handlers, "_model_registry_store", None)
    serving = make_server("127.0.0.1", 0, server.app, threaded=True)
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    thread.join()


@pytest.fixture
def visit(ui: str) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}: apt-get install chromium")
    with playwright.sync_playwright() as found:
        browser = found.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 2400, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        yield page
        browser.close()


def trained(name: str, work: str, value: float, parent: str = "") -> str:
    """A run as a training leaves it, as far as the view shows it. Returns its id."""
    client = tracking.connect()
    tags = {"model": name.split()[0], "data": "shop", "split": "temporal", "stage-of-work": work}
    if parent:
        tags["mlflow.parentRunId"] = parent
    run = client.create_run(tracking.experiment().experiment_id, run_name=name, tags=tags)
    figures = {**dict.fromkeys(FIGURES, value), "fit_seconds": 1.5}
    client.log_batch(run.info.run_id, metrics=[Metric(key, one, 0, 0) for key, one in figures.items()])
    client.set_terminated(run.info.run_id)
    return run.info.run_id


@pytest.mark.integration
def test_the_saved_view_shows_models_best_first_with_their_figures(visit: Any, ui: str) -> None:
    worst = trained("als · shop · .111", "train", 0.111)
    trained("lambdarank · shop · .194", "train", 0.194)
    trained("trial 0 · als · .105", "trial", 0.105, worst)
    trained("compare shop", "compare", 0.9)
    visit.goto(experiment_page.view_address(ui, tracking.experiment().experiment_id))
    visit.get_by_text("lambdarank · shop · .194").first.wait_for()
    shown = visit.locator(".ag-header-cell").all_inner_texts()
    assert [heading for heading in HEADINGS if not any(heading in text for text in shown)] == []
    rows = visit.locator(".ag-center-cols-container [role=row]").all_inner_texts()
    text = visit.locator("body").inner_text()
    assert "compare shop" not in text
    assert text.index("lambdarank · shop · .194") < text.index("als · shop · .111")
    assert [("0.194" in row, "0.111" in row) for row in rows][:2] == [(True, False), (False, True)]
    assert all("shop" in row and "temporal" in row for row in rows)
