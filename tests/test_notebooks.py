"""The notebooks run from top to bottom, are committed without outputs, and find the one tracking store."""

import os
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from recstage.config import root

pytestmark = pytest.mark.slow

FOUND = {
    "01-explore-data": "test_users",
    "02-train-and-compare": "is Production",
    "03-tune": "the first ones are the same: True",
    "04-inspect-recommendations": "You chose",
    "05-promote-and-roll-back": "the service followed",
    "06-your-own-data": "missing user_id",
    "07-feedback-loop": "is Production on live evidence",
}
"""What must be in the outputs of each."""
INTERACTIVE = ("03-tune", "04-inspect-recommendations")
PLOTLY = "application/vnd.plotly.v1+json"
NOTEBOOKS = sorted((root() / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks_with_code():
    """Else the tests of each would pass over nothing."""
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        assert any(cell.cell_type == "code" for cell in nbformat.read(path, 4).cells), path.stem


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path):
    for cell in nbformat.read(path, 4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_and_its_script_say_the_same(path):
    """`make notebooks` writes the notebook from the script."""
    notebook, script = nbformat.read(path, 4), jupytext.read(path.with_suffix(".py"))
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in script.cells
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_defines_nothing_that_others_would_import(path):
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "code":
            assert not any(line.startswith(("def ", "class ")) for line in cell.source.splitlines())


@pytest.mark.integration
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path, workspace, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(workspace / "ipython"))
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = cell.source.replace('DATA = "synthetic"', f'DATA = "{workspace / "tiny.yaml"}"')
            cell.source = cell.source.replace("AS_PROJECT = True", "AS_PROJECT = False")  # tests/steps has such runs
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": workspace}}).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    texts = "".join(str(out.get("data", {}).get("text/plain", out.get("text", ""))) for out in outputs)
    assert any("image/png" in out.get("data", {}) for out in outputs), "no plot shows"
    moved = [out["data"] for out in outputs if PLOTLY in out.get("data", {})]
    assert all("image/png" in data for data in moved), "a front end without Plotly would show nothing"
    assert bool(moved) == (path.stem in INTERACTIVE)
    assert not [out for out in outputs if out.get("name") == "stderr"]
    assert FOUND[path.stem] in texts
    assert "**Question:**" in notebook.cells[0].source
    assert "**What was found**" in notebook.cells[-1].source


@pytest.mark.integration
@pytest.mark.parametrize("folder", [".", "notebooks", "src/recstage", "tests"])
def test_the_tracking_store_is_the_same_wherever_one_starts(folder):
    code = "from recstage.tracking import store_uri; print(store_uri())"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "RECSTAGE_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root() / folder, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"sqlite:///{Path(root()) / 'mlflow.db'}"
