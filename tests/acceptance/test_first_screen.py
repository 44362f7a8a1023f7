"""Each promise of README's first screen, kept as its reader would see it: in a shell, in a browser, in a notebook."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recstage
from experiments import demo
from recstage import config, registry
from tests.conftest import TINY

pytestmark = pytest.mark.integration
HERE = config.root()
FIRST_SCREEN = (HERE / "README.md").read_text().split("\n## ")[0]
COMMANDS = re.findall(r"^make ([a-z]+) +# .+$", FIRST_SCREEN, re.MULTILINE)
(LINES,) = re.findall(r"```python\n(.*?)```", FIRST_SCREEN, re.DOTALL)
PATIENCE_SECONDS = 240.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Path]:
    """A folder as after a clone, for all tests of this file."""
    import mlflow

    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(HERE / "conf", folder / "conf")
    shutil.copy(HERE / "MLproject", folder)
    shutil.copy(empty_database, folder / "mlflow.db")
    (folder / "tiny.yaml").write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECSTAGE_HOME", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        config.root.cache_clear()
        yield folder
        mlflow.set_tracking_uri(None)
    config.root.cache_clear()


@pytest.fixture(scope="module")
def demonstrated(home: Path) -> demo.DemoResult:
    """What `make demo` does, on a smaller data set and with two models."""
    options = ["--data", str(home / "tiny.yaml"), "--trials", "0", "--models", json.dumps(["popularity", "als"])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "PATIENCE_SECONDS", PATIENCE_SECONDS)
        return demo.step(options)


@pytest.fixture(scope="module")
def address(demonstrated: demo.DemoResult, home: Path) -> Iterator[str]:
    """Where `make serve` listens."""
    words = commands_of("serve")[-1].split()
    log = home / "service.log"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("w") as output:
        served = [sys.executable, *words[1 : words.index("--port")], "--port", "0"]
        process = subprocess.Popen(served, stdout=output, stderr=subprocess.STDOUT, cwd=HERE, env=environment)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while '"event":"listening"' not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield re.findall(r'"url":"([^"]+)"', log.read_text())[0]
    finally:
        process.terminate()
        process.wait(20)


def commands_of(target: str) -> list[str]:
    """What make would run in a fresh clone."""
    words = ["make", "--no-print-directory", "-n", target, "VENV=/nowhere/venv"]
    done = subprocess.run(words, cwd=HERE, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("target", COMMANDS)
def test_a_command_makes_its_own_environment_first(target):
    run = commands_of(target)
    assert "-m venv /nowhere/venv" in run[0]
    assert "--constraint constraints.txt" in run[2]
    assert "/nowhere/venv/bin/python" in run[-1]


def test_make_demo_trains_promotes_serves_promotes_another_and_rolls_back(demonstrated):
    first, other, again = demonstrated.served
    assert first == again != other
    assert registry.production().number == first
    assert commands_of("demo")[-1].endswith("experiments/demo.py --data synthetic")


def test_make_serve_shows_the_storefront_whose_list_a_like_changes_and_the_operations_page(
    visit, address, demonstrated
):
    page = visit(address)
    page.wait_for_selector(".card:not(.skeleton)")
    titles = page.locator("button.title").all_inner_texts()
    assert 1 < len(titles) <= 10  # the user has seen most of a small catalogue
    assert page.locator(".reason").first.inner_text()
    assert float(page.locator(".score .number").first.inner_text()) > 0
    page.get_by_role("button", name=f"Like: {titles[0]}", exact=True).click()
    page.wait_for_selector("#feed :text('Liked')")
    assert titles[0] not in page.locator("button.title").all_inner_texts()
    page.get_by_role("link", name="Operations").click()
    page.wait_for_selector(f"#state .main .big:has-text('Version {demonstrated.served[-1]}')")
    page.wait_for_selector("#history :text('demo')")
    assert page.get_by_role("button", name=f"Promote version {demonstrated.served[1]}").count()


def test_promoting_in_the_mlflow_ui_is_followed_by_the_service(visit, address, demonstrated):
    from mlflow import MlflowClient

    _, other, _ = demonstrated.served
    with pytest.warns(FutureWarning):  # what the MLflow UI does when a stage is chosen
        MlflowClient().transition_model_version_stage("recommender", str(other), "Production", True)
    page = visit(f"{address}/ops")
    page.wait_for_selector(f"#state .main .big:has-text('Version {other}')")


def test_the_lines_of_the_notebook_run_as_they_stand(demonstrated):
    rng = np.random.default_rng(5)
    chosen = [
        (f"u{user:03}", f"i{item}") for user in range(60) for item in rng.choice(range(100, 140), 8, replace=False)
    ]
    frame = pd.DataFrame(chosen, columns=["user_id", "item_id"])
    found: dict[str, Any] = {"frame": frame, "recstage": recstage}
    for line in LINES.strip().splitlines():
        statement = line.split("#")[0].strip()
        if statement and not re.match(r"\w+ = |import ", statement):
            statement = f"shown = {statement}"
        exec(statement, found)  # noqa: S102  the reader's own cell
    assert found["als"].recommend(["u042"], k=10).shape[0] == 10
    assert {"u042", "a-new-user"} <= set(found["shown"]["user_id"])
