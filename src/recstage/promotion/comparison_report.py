"""A comparison as one HTML page without further files, from `templates/comparison.html`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from recstage import markdown
from recstage.evaluation.metrics import TARGETS, target_met
from recstage.evaluation.significance import Paired
from recstage.promotion.comparison import BYTES, LATENCY, SECONDS, SHOWN, Comparison, Group, Row, bounds, written


def _title(key: str) -> str:
    """A metric as a heading, with the target of its kind where there is one."""
    words = key.replace("_at_", " at ").replace("_", " ")
    return f"{words}, {TARGETS[key][0]} {TARGETS[key][1]:g}" if key in TARGETS else words


COLUMNS = {
    **{key: _title(key) for key in SHOWN},
    LATENCY: "list p95, ms",
    SECONDS: "fit, s",
    BYTES: "bundle, MB",
}
LESS_IS_BETTER = {"gini_at_10", LATENCY, SECONDS, BYTES}
FEATURES_SHOWN = 20


def page(comparison: Comparison, ui: str) -> str:
    """The whole page; whatever it shows is escaped. `ui` is the address of the MLflow UI that its links lead to."""
    groups = [_ShownGroup(group, _columns(group), _Scale.of(group)) for group in comparison.groups]
    return _environment().get_template("comparison.html").render(comparison=comparison, groups=groups, ui=ui)


def note(comparison: Comparison) -> str:
    """The same in short, in Markdown, for the page of the run: its links work there."""
    lines = []
    for group in comparison.groups:
        rows = [
            (
                _linked(comparison.name, row),
                row.model,
                written(row.metrics.get(group.metric)),
                bounds(row.interval),
                "" if row.difference is None else f"{row.difference.difference:+.4f}",
                f"[{row.run_id[:8]}](#/runs/{row.run_id})",
            )
            for row in group.rows
        ]
        header = ("", "model", group.metric, "interval", "to Production", "run")
        lines += [f"**{group.data}**, split {group.split}. {group.verdict}", "", markdown.table(header, rows)]
    return "\n".join([*lines, "Every figure, sortable: `comparison.html` below *Artifacts*."])


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("recstage.promotion"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(written=written, bounds=bounds, significance=_significance, target=_target)
    return environment


def _columns(group: Group) -> dict[str, str]:
    return {key: title for key, title in COLUMNS.items() if any(key in row.metrics for row in group.rows)}


def _linked(name: str, row: Row) -> str:
    return row.label if row.version is None else f"[{row.label}](#/models/{name}/versions/{row.version})"


def _target(key: str, value: float | None) -> str:
    """Whether a figure meets the target that its kind has; empty where it has none."""
    if value is None or key not in TARGETS:
        return ""
    return "met" if target_met(key, value) else "not met"


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

    @property
    def with_features(self) -> list[Row]:
        """The rows whose models have features."""
        return [row for row in self.group.rows if row.features]

    @property
    def greatest_share(self) -> float:
        """Of any feature in any model."""
        return max((share for row in self.with_features for share in row.features.values()), default=0) or 1

    @property
    def features(self) -> list[str]:
        """The features that weigh most in any model, the first first."""
        most: dict[str, float] = {}
        for row in self.with_features:
            for name, share in row.features.items():
                most[name] = max(share, most.get(name, 0.0))
        return sorted(most, key=lambda name: -most[name])[:FEATURES_SHOWN]


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
