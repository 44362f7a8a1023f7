"""Every relative link of README, docs/ and the notebooks leads to a file that exists, and to a heading of it."""

import json
from pathlib import Path
from urllib.parse import unquote

import pytest

from experiments.guide.hooks import CHANGELOG
from experiments.guide.reference import PAGES
from recstage.config import root
from tests.docs.pages import LINK, anchors, name_of, pages, without_code

NOTEBOOKS = sorted((root() / "notebooks").glob("*.ipynb"))
WRITTEN = {f"docs/{name}" for name in PAGES} | {f"docs/{CHANGELOG}"}
"""Pages that only the built guide has."""


def broken(text: str, page: Path) -> list[str]:
    """Links of a page that lead nowhere."""
    found = []
    for link in ("".join(pair) for pair in LINK.findall(without_code(text))):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        name = target.relative_to(root()).as_posix() if target.is_relative_to(root()) else str(target)
        if not target.exists() and name not in WRITTEN:
            found.append(f"{link}: no such file")
        elif anchor and target.suffix == ".md" and target.exists() and anchor not in anchors(target.read_text()):
            found.append(f"{link}: no such heading; there are {sorted(anchors(target.read_text()))}")
    return found


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_of_a_page_lead_somewhere(page):
    assert broken(page.read_text(), page) == []


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_lead_somewhere(notebook):
    cells = json.loads(notebook.read_text())["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert broken(text, notebook) == []


@pytest.mark.parametrize(
    "link", ["[a](nowhere.md)", "[a](README.md#nothing)", "![a](docs/images/none.png)", "[a](#nothing)"]
)
def test_a_broken_link_is_found(link):
    assert len(broken(f"# One\n\n{link}\n", root() / "README.md")) == 1


def test_a_link_within_code_is_none():
    assert broken("`[a](nowhere.md)`\n\n```\n[a](nowhere.md)\n```\n", root() / "README.md") == []
