"""Flowcharts of the docs, written in Mermaid, as SVG: Mermaid's own script is on another host, and the guide asks none.

Only what the docs use is known: one subgraph a row, nodes `id["label"]`, arrows `a --> b` or `a -- "why" --> b`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NODE = re.compile(r'(\w+)\["(.+?)"\]')
ARROW = re.compile(r'(\w+) (?:-- "(.+?)" )?-->\s*(\w+)')
HEIGHT, LETTER, LINE, PADDING, GAP = 34, 8, 17, 14, 26
"""Of a box, of a letter, of a further line in a box, around a label, between boxes; pixels."""
PLAIN, SPOKEN = 34, 66
"""Between rows: without and with words at the arrows."""
TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 8 4 0 8z"/></marker></defs>'
)


@dataclass(frozen=True)
class Box:
    """A node where it is drawn; pixels."""

    lines: tuple[str, ...]
    left: float
    top: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """Of its width."""
        return self.left + self.width / 2


def with_pictures(markdown: str) -> str:
    """The page with each Mermaid block replaced by its picture."""
    return BLOCK.sub(lambda block: svg(block[1]), markdown)


def svg(source: str) -> str:
    """The picture of a flowchart, in the colours of the page. Raises `ValueError` on an arrow to no node."""
    rows = [NODE.findall(part) for part in source.split("subgraph")[1:]]
    arrows = ARROW.findall(source)
    gap = SPOKEN if any(words for _, words, _ in arrows) else PLAIN
    widths = [sum(_width(label) for _, label in row) + GAP * (len(row) - 1) for row in rows]
    whole, top, boxes = max(widths), 2.0, {}
    for row, width in zip(rows, widths, strict=True):
        left, tall = (whole - width) / 2 + 2, max(_height(label) for _, label in row)
        for name, label in row:
            boxes[name] = Box(tuple(label.split("<br>")), left, top, _width(label), tall)
            left += _width(label) + GAP
        top += tall + gap
    unknown = {name for a, _, b in arrows for name in (a, b)} - boxes.keys()
    if unknown:
        raise ValueError(f"arrows of a flowchart: no node is called {sorted(unknown)}; give it a label in a row")
    drawn = [_arrow(boxes[a], boxes[b], words) for a, words, b in arrows] + [_box(box) for box in boxes.values()]
    size = f"{whole + 4:.0f} {top - gap + 2:.0f}"
    label = escape(", ".join(" ".join(box.lines) for box in boxes.values()))
    least = min(480, 0.65 * whole)  # wide ones scroll sideways on a phone
    return (
        f'<div class="diagram"><svg viewBox="0 0 {size}" style="width: {whole + 4:.0f}px; min-width: {least:.0f}px" '
        f'role="img" aria-label="Diagram: {label}">{TIP}{"".join(drawn)}</svg></div>'
    )


def _width(label: str) -> float:
    return max(len(line) for line in label.split("<br>")) * LETTER + 2 * PADDING


def _height(label: str) -> float:
    return HEIGHT + LINE * label.count("<br>")


def _box(box: Box) -> str:
    first = box.top + box.height / 2 - LINE * (len(box.lines) - 1) / 2
    lines = "".join(
        f'<text class="{kind}" x="{box.middle:.0f}" y="{first + LINE * at:.0f}">{escape(line)}</text>'
        for at, (kind, line) in enumerate(zip(["name", *["more"] * len(box.lines)], box.lines, strict=False))
    )
    shape = f'x="{box.left:.0f}" y="{box.top:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" rx="6"'
    return f"<rect {shape}/>{lines}"


def _arrow(a: Box, b: Box, words: str) -> str:
    if a.top == b.top:
        right = b.left > a.left
        start, end = (a.left + a.width, b.left) if right else (a.left, b.left + b.width)
        level = a.top + a.height / 2
        return f'<path class="arrow" d="M{start:.0f} {level:.0f}H{end:.0f}"/>'
    down = b.top > a.top
    begin, end = (a.top + a.height, b.top) if down else (a.top, b.top + b.height)
    # an arrow back up stands beside the ones that go down
    shift = 0 if down else min(a.width, b.width) / 4
    bend = (begin + end) / 2
    line = f"M{a.middle + shift:.0f} {begin:.0f}C{a.middle + shift:.0f} {bend:.0f} {b.middle + shift:.0f} {bend:.0f} "
    text = (
        f'<text class="words" x="{(a.middle + b.middle) / 2 + shift:.0f}" y="{bend:.0f}">{escape(words)}</text>'
        if words
        else ""
    )
    return f'<path class="arrow" d="{line}{b.middle + shift:.0f} {end:.0f}"/>{text}'
