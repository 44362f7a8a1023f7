"""The validation report as one HTML page without further files, from `templates/validation.html`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def page(report: Mapping[str, Any], *, name: str, fingerprint: str, split: str) -> str:
    """The whole page of a data set's report; whatever it shows is escaped."""
    template = environment().get_template("validation.html")
    return template.render(report=report, name=name, fingerprint=fingerprint, split=split)


@cache
def environment(*packages: str) -> Environment:
    """Templates of this package (`layout.html` is what pages have in common) and of further ones."""
    found = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in ("recstage.data.report", *packages)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters.update(number=_number, percent=_percent, widths=_widths)
    return found


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _widths(counts: Mapping[str, int]) -> list[tuple[str, int, float]]:
    """Name, count and length (0 to 100) of the bars of a table of counts."""
    longest = max(counts.values(), default=0) or 1
    return [(name, count, round(100 * count / longest, 1)) for name, count in counts.items()]
