"""`make architecture`: draws the imports between the parts of both packages into docs/architecture.md."""

from __future__ import annotations

from recstage.config import root
from tests.structure.import_graph import LAYERS, imports_of, of_packages, part_of

PAGE = root() / "docs" / "architecture.md"
BEGIN, END = "<!-- picture of {} -->\n", "<!-- end of picture -->\n"


def arrows_of(package: str) -> set[tuple[str, str]]:
    """Pairs of parts of a package, the first of which imports the second."""
    return {
        (part_of(module), part_of(other))
        for module in of_packages(package)
        for other in imports_of(module)
        if other.startswith(f"{package}.") and part_of(other) != part_of(module)
    }


def drawn(package: str) -> str:
    """A Mermaid flowchart of a package: a row a layer. Arrows that follow from others are left out."""
    arrows = arrows_of(package)
    layers = [[part for part in layer if part != "__init__"] for layer in LAYERS[package]]
    lines = ["```mermaid", "flowchart TB"]
    for i, layer in enumerate(layers):
        lines += [
            f"  subgraph {package}_{i}[ ]",
            "    direction LR",
            *(f"    {_node(part)}" for part in layer),
            "  end",
        ]
    lines += [f"  {_id(a)} --> {_id(b)}" for a, b in sorted(arrows) if not _follows(a, b, arrows)]
    return "\n".join([*lines, "```", ""])


def _follows(a: str, b: str, arrows: set[tuple[str, str]]) -> bool:
    """Whether b is reached from a over another part."""
    reached, ahead = set(), [end for start, end in arrows if start == a and end != b]
    while ahead:
        part = ahead.pop()
        if part not in reached:
            reached.add(part)
            ahead += [end for start, end in arrows if start == part]
    return b in reached


def _id(part: str) -> str:
    return "main" if part == "__main__" else f"{part}_"


def _node(part: str) -> str:
    return f'{_id(part)}["{part}"]'


def with_pictures(text: str) -> str:
    """The page with both pictures as the imports are now."""
    for package in LAYERS:
        begin = BEGIN.format(package)
        before, _, rest = text.partition(begin)
        text = before + begin + drawn(package) + END + rest.partition(END)[2]
    return text


if __name__ == "__main__":
    PAGE.write_text(with_pictures(PAGE.read_text()))
