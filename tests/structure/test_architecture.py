"""docs/architecture.md shows the imports as they are, and names every part."""

from recstage.config import root
from tests.structure.import_graph import LAYERS
from tests.structure.picture import PAGE, with_pictures


def test_the_picture_shows_the_imports_as_they_are():
    text = PAGE.read_text()
    assert with_pictures(text) == text, "docs/architecture.md is out of date: run `make architecture`"


def test_every_part_of_both_packages_has_a_line():
    text = PAGE.read_text()
    parts = {part for layers in LAYERS.values() for layer in layers for part in layer if not part.startswith("__")}
    missing = {part for part in parts if f"`{part}`" not in text}
    assert not missing, f"docs/architecture.md has no line about {missing}: say what they are for"


def test_every_file_that_the_page_names_exists():
    named = [word for word in PAGE.read_text().replace("`", " ").split() if word.endswith(".py") and "/" in word]
    assert named
    assert [name for name in named if not (root() / name).is_file()] == []
