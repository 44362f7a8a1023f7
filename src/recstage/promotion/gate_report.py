"""A verdict of the gate as one HTML page without further files, and as tags of the version."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from recstage.promotion.gate import Verdict
from recstage.registry.mlflow_client import Version

PAGE = "gate/report.html"
MEANING = {
    "passed": "within its bound",
    "noted": "beyond its bound, and excused",
    "failed": "the reason of a refusal",
    "not judged": "nothing to judge it by",
}


def page(version: Version, verdict: Verdict, outcome: str, at: str) -> str:
    """The whole page; whatever it shows is escaped."""
    template = _environment().get_template("gate.html")
    return template.render(version=version, verdict=verdict, outcome=outcome, at=at, meaning=MEANING)


def tags(verdict: Verdict) -> dict[str, str]:
    """One tag a check: `gate.seen-items` = "passed: none came back ..."."""
    return {f"gate.{_slug(one.name)}": f"{one.outcome}: {one.message}" for one in verdict.checks}


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("recstage.promotion"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
