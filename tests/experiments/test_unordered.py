"""The measurement of models on data without an order, from a folder of three files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import unordered
from recstage.cli import main
from tests.models.synthetic_blocks import blocks, catalogue


def written(folder: Path) -> Path:
    """People of groups and what they chose, one of eight choices each as the test."""
    rows = blocks().to_frame()
    rows = rows[rows.weight > 0]
    held = rows.groupby("user_id").cumcount() == 0
    rows.loc[~held, ["user_id", "item_id"]].to_csv(folder / "train.csv.gz", index=False)
    rows.loc[held, ["user_id", "item_id"]].to_csv(folder / "test.csv", index=False)
    words = [text.replace(" ", "|") for text in catalogue().texts]
    pd.DataFrame({"item_id": blocks().items.ids, "tags": words}).to_csv(folder / "items.csv", index=False)
    return folder


def test_models_find_what_was_held_back(tmp_path: Path) -> None:
    models = json.dumps({"ease": {"side_weight": 1.0}, "spectral": {"factors": 8}})
    found = unordered.run([str(written(tmp_path)), models, "--test"])
    assert set(found) == {"ease", "spectral"}
    for figures in found.values():
        assert figures["recall_at_20"] == 1.0  # three things of the group are left, and they come first
        assert figures["fit_seconds"] > 0


def test_validation_is_a_fifth_of_each_users_rows_and_the_same_each_time(tmp_path: Path) -> None:
    rows, _, _ = unordered.read(written(tmp_path))
    train, held = unordered.cut(rows)
    assert set(held.lengths.tolist()) == {1}
    assert len(train) + len(held) == len(rows)
    np.testing.assert_array_equal(held.item_index, unordered.cut(rows)[1].item_index)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "test.csv").unlink(), "holds no test.csv. Name a folder that has it"),
        (lambda folder: (folder / "items.csv").write_text("item_id,words\n"), "has no column tags. Give item_id, tags"),
    ],
)
def test_a_folder_that_lacks_something_is_refused_in_one_line(
    spoil, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(written(tmp_path))
    assert main(unordered.run, [str(tmp_path), "{}"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
