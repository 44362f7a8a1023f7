"""A comparison as one HTML page without further files, from `templates/comparison.html`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from recstage.evaluation.significance import Paired
from recstage.promotion.comparison import BYTES, LATENCY, SECONDS, SHOWN, Comparison, Group, Row, bounds, written

COLUMNS = {
    **{key: key.replace("_at_", " at ").replace("_", " ") for key in SHOWN},
    LATENCY: "p95 of one list, ms",
    SECONDS: "fit, s",
    BYTES: "bundle, MB",
}
LESS_IS_BETTER = {"gini_at_10", LATENCY, SECONDS, BYTES}


def page(comparison: Comparison) -> str:
    """The whole page; whatever it shows is escaped."""
    groups = [_ShownGroup(group, _columns(group), _Scale.of(group)) for group in comparison.groups]
    return _environment().get_template("comparison.html").render(comparison=comparison, groups=groups)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("recstage.promotion"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(written=written, bounds=bounds, significance=_significance)
    return environment


def _columns(group: Group) -> dict[str, str]:
    return {key: title for key, title in COLUMNS.items() if any(key in row.metrics for row in group.rows)}


def _significance(difference: Paired) -> str:
    """`good` or `bad` where the interval of a difference does not contain 0, else nothing."""
    if difference.low <= 0 <= difference.high:
        return ""
    return "good" if difference.difference > 0 else "bad"


@dataclass(frozen=True)
class _ShownGroup:
    """A group with the columns that it has values for, by key with their titles, and the scale of its drawings."""

    group: Group
    columns: Mapping[str, str]
    scale: _Scale | None

    def best_of(self, row: Row) -> set[str]:
        """The metrics in which a row is the best of at least two."""
        return {key for key in (self.group.metric, *self.columns) if _is_best(row, key, self.group.rows)}


def _is_best(row: Row, key: str, rows: tuple[Row, ...]) -> bool:
    values = [other.metrics[key] for other in rows if key in other.metrics]
    if len(values) < 2 or key not in row.metrics:
        return False
    return row.metrics[key] == (min(values) if key in LESS_IS_BETTER else max(values))


class _Scale:
    """From a metric's value to a position on a small drawing of intervals, one scale a group; `production` is the value
    of Production, None where it is not in the group."""

    WIDTH, HEIGHT, MARGIN = 140, 14, 4

    def __init__(self, low: float, high: float, production: float | None) -> None:
        self._low, self._span, self.production = low, max(high - low, 1e-9), production

    @classmethod
    def of(cls, group: Group) -> _Scale | None:
        ends = [end for row in group.rows if row.interval is not None for end in row.interval]
        production = [row.metrics.get(group.metric) for row in group.rows if row.is_production]
        return cls(min(ends), max(ends), next(iter(production), None)) if ends else None

    @property
    def middle(self) -> float:
        return self.HEIGHT / 2

    def x(self, value: float) -> float:
        """Pixels from the left edge."""
        share = (value - self._low) / self._span
        return round(self.MARGIN + share * (self.WIDTH - 2 * self.MARGIN), 1)
