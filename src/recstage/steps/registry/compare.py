"""All versions and the current Production side by side: on the terminal, as HTML and as CSV."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from recstage import tracking
from recstage.config import read_yaml, resolve, root
from recstage.config.steps import CompareSettings
from recstage.promotion import comparison, comparison_report
from recstage.promotion.comparison import Comparison

ARTIFACT = "comparison"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompareResult:
    """`rows` are those of the CSV, `text` is the table for a terminal; both are artifacts of the run, with the page
    `comparison.html`."""

    run_id: str
    name: str
    production: int | None
    best: int | None
    rows: list[dict[str, object]]
    text: str


def settings_from(arguments: Sequence[str] = ()) -> CompareSettings:
    """Settings from conf/promotion.yaml and the command line."""
    defaults = {"promotion": read_yaml(root() / "conf" / "promotion.yaml")}
    return resolve(CompareSettings, defaults, arguments, program="compare")


def run(settings: CompareSettings, *, nested: bool = False) -> CompareResult:
    """Raises `RegistryError` where the registered model does not exist or has no versions."""
    with tracking.run(
        f"compare {settings.name}", tags={"stage-of-work": "compare"}, nested=nested, system_metrics=False
    ) as active:
        found = comparison.compare(settings.name, settings.promotion, unregistered=settings.unregistered)
        table, text = comparison.table(found), comparison.as_text(found)
        tracking.log_table(active.info.run_id, ARTIFACT, table)
        tracking.log_text(active.info.run_id, comparison_report.page(found, tracking.ui_address()), f"{ARTIFACT}.html")
        tracking.log_note(active.info.run_id, comparison_report.note(found))
        tracking.log_text(active.info.run_id, text, f"{ARTIFACT}.txt")
    for line in text.splitlines():
        log.info("%s", line)
    rows = [
        {str(key): value for key, value in row.items()}
        for row in table.astype(object).where(table.notna(), None).to_dict("records")
    ]
    return CompareResult(active.info.run_id, settings.name, found.production, _best(found), rows, text)


def _best(found: Comparison) -> int | None:
    """The best version of the newest group."""
    return next((row.version for row in found.groups[0].rows if row.version is not None and row.metrics), None)
