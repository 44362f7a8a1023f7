"""The example of the README, in a shell, on the data of `make demo`: it shows the effect that it promises."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from recstage.config import DataConfig, root
from recstage.data.dataset import Dataset, config_of, prepare
from recstage.models.base import Recommender
from recstage.models.baselines.popularity import Popularity
from recstage.models.neighborhood.knn import Knn, KnnParams
from serving.app import create_app
from tests.serving.documented import HERE
from tests.serving.doubles import FakePointer
from tests.serving.pages.browsing import running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo_data() -> Dataset:
    return prepare(DataConfig(**config_of("synthetic")), "synthetic")


@pytest.mark.parametrize("model", [Popularity(), Knn(KnnParams())], ids=["popularity", "knn"])
def test_a_like_takes_the_first_item_off_the_list(
    model: Recommender, demo_data: Dataset, stage: Callable, settings_in: Callable, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    (block,) = re.findall(r"```sh\n(list=.*?)```", (root() / "README.md").read_text(), re.DOTALL)
    model.fit(demo_data.split.train_and_validation, catalogue=demo_data.catalogue)
    pointer = FakePointer(stage(model, "1", promoted_by="alex"))
    settings = settings_in(database_url=f"sqlite:///{tmp_path}/service.db")
    with running(create_app(settings, pointer=pointer)) as url:
        commands = block.replace(HERE, url).replace("\ncurl", "\necho; curl -s").replace("curl -s -s", "curl -s")
        done = subprocess.run(["bash", "-ec", commands], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    before, _event, after, served = (json.loads(line) for line in done.stdout.splitlines() if line.strip())
    ids, again = ([item["item_id"] for item in answer["items"]] for answer in (before, after))
    assert model.known(["u042"]).lengths[0] > 0, "u042 is a user of the demo with a history"
    assert len(ids) == len(again) == 3
    assert ids[0] not in again
    assert set(ids[1:]) & set(again)
    assert all(item["reason"] and item["title"] for item in before["items"])
    assert served["version"] == "1"
