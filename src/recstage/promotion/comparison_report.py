"""A comparison as one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from recstage.promotion.comparison import BYTES, LATENCY, SECONDS, SHOWN, Comparison, Group, Row, bounds, written

COLUMNS = {
    **{key: key.replace("_at_", " at ").replace("_", " ") for key in SHOWN},
    LATENCY: "p95 of one list, ms",
    SECONDS: "fit, s",
    BYTES: "bundle, MB",
}
LESS_IS_BETTER = {"gini_at_10", LATENCY, SECONDS, BYTES}

STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --faint: #6b7683; --line: #d8dee5; --paper: #fff; --mark: #e9f3ec;
        --good: #1c7a3f; --bad: #b3261e; --dot: #2f6fb3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e8ee; --faint: #94a0ad; --line: #3a434d; --paper: #15191e;
        --mark: #1d3326; --good: #6fcf8f; --bad: #ff8a80; --dot: #7fb3ec; } }
body { font: 14px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem } h2 { font-size: 1.05rem; margin: 2rem 0 .25rem }
p { color: var(--faint); margin: .25rem 0 1rem; max-width: 70rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th { color: var(--faint); font-weight: 500; vertical-align: bottom } .word { text-align: left }
.production { background: var(--mark) } .best { font-weight: 700 } .faint { color: var(--faint) }
.good { color: var(--good) } .bad { color: var(--bad) } code { font-size: .85em }
svg line { stroke: var(--dot); stroke-width: 1.5 } svg circle { fill: var(--dot) } svg .at { stroke: var(--faint);
        stroke-dasharray: 2 2 }
"""


def page(comparison: Comparison) -> str:
    """The whole page."""
    production = "nothing" if comparison.production is None else f"version {comparison.production}"
    groups = "".join(_section(group) for group in comparison.groups)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(comparison.name)}: comparison</title>'
        f"<style>{STYLE}</style><h1>{escape(comparison.name)}</h1><p>In Production: {production}. Models stand in one "
        "table only where they were tested on the same rows. Intervals are bootstrap intervals over users; the "
        "difference to Production is paired by user, green or red where it is significant.</p>"
        f"{groups}</html>\n"
    )


def _section(group: Group) -> str:
    columns = {key: title for key, title in COLUMNS.items() if any(key in row.metrics for row in group.rows)}
    scale = _Scale.of(group)
    heads = "".join(f"<th>{escape(title)}</th>" for title in columns.values())
    body = "".join(_row(row, group, columns, scale) for row in group.rows)
    return (
        f"<h2>{escape(group.data)}, split {escape(group.split)}</h2>"
        f"<p>fingerprint <code>{escape(group.fingerprint)}</code> {escape(group.production)}</p>"
        '<div class="wide"><table><thead><tr>'
        '<th class="word">version<th class="word">algorithm<th class="word">stage'
        f"<th>{escape(group.metric)}<th>interval<th><th>difference to Production<th>p{heads}"
        '<th class="word">gate<th class="word">run<th class="word">made</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(row: Row, group: Group, columns: dict[str, str], scale: _Scale | None) -> str:
    best = {key for key in (group.metric, *columns) if _is_best(row, key, group.rows)}
    cells = [
        _cell(row.label if row.version is None else str(row.version), "word" if row.version else "word faint"),
        _cell(row.algorithm, "word"),
        _cell(row.stage if row.stage != "None" else "", "word"),
        _cell(written(row.metrics.get(group.metric)), "best" if group.metric in best else ""),
        _cell(bounds(row.interval), "faint"),
        f"<td>{'' if scale is None else scale.drawing(row, group.metric)}</td>",
        *_difference(row),
        *(_cell(written(row.metrics.get(key), key), "best" if key in best else "") for key in columns),
        _cell(row.gate, "word"),
        f'<td class="word"><code title="{escape(row.run_id)}">{escape(row.run_id[:8])}</code></td>',
        _cell(f"{row.made_at:%Y-%m-%d %H:%M}", "word faint"),
    ]
    return f"<tr{' class=production' if row.is_production else ''}>{''.join(cells)}</tr>"


def _difference(row: Row) -> Iterable[str]:
    if row.difference is None:
        return _cell(""), _cell("")
    found = row.difference
    sure = found.low > 0 or found.high < 0
    kind = ("good" if found.difference > 0 else "bad") if sure else ""
    return (
        _cell(f"{found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}]", kind),
        _cell(f"{found.p_value:.4f}", kind),
    )


def _is_best(row: Row, key: str, rows: tuple[Row, ...]) -> bool:
    values = [other.metrics[key] for other in rows if key in other.metrics]
    if len(values) < 2 or key not in row.metrics:
        return False
    return row.metrics[key] == (min(values) if key in LESS_IS_BETTER else max(values))


def _cell(text: str, kind: str = "") -> str:
    return f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"


class _Scale:
    """From a metric's value to a place on a small drawing of intervals, one scale a group."""

    WIDTH, HEIGHT, MARGIN = 140, 14, 4

    def __init__(self, low: float, high: float, production: float | None) -> None:
        self._low, self._span, self._production = low, max(high - low, 1e-9), production

    @classmethod
    def of(cls, group: Group) -> _Scale | None:
        ends = [end for row in group.rows if row.interval is not None for end in row.interval]
        production = [row.metrics.get(group.metric) for row in group.rows if row.is_production]
        return cls(min(ends), max(ends), next(iter(production), None)) if ends else None

    def drawing(self, row: Row, metric: str) -> str:
        if row.interval is None or metric not in row.metrics:
            return ""
        low, high, value = (self._x(one) for one in (*row.interval, row.metrics[metric]))
        middle = self.HEIGHT / 2
        reference = ""
        if self._production is not None:
            x = self._x(self._production)
            reference = f'<line class="at" x1="{x}" x2="{x}" y1="0" y2="{self.HEIGHT}"/>'
        return (
            f'<svg width="{self.WIDTH}" height="{self.HEIGHT}" role="img" aria-label="{bounds(row.interval)}">'
            f'{reference}<line x1="{low}" x2="{high}" y1="{middle}" y2="{middle}"/>'
            f'<circle cx="{value}" cy="{middle}" r="3"/></svg>'
        )

    def _x(self, value: float) -> float:
        share = (value - self._low) / self._span
        return round(self.MARGIN + share * (self.WIDTH - 2 * self.MARGIN), 1)
