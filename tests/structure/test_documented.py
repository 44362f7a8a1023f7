"""Every setting, metric, route and entry point stands in the docs."""

import re
from functools import cache

import pytest
import yaml
from fastapi.routing import APIRoute

from recstage.config import root
from serving.api.routes import ROUTERS
from serving.monitoring.metrics import Metrics
from serving.settings import ServingSettings


@cache
def docs() -> str:
    pages = [root() / "README.md", *sorted((root() / "docs").glob("*.md"))]
    return "\n".join(page.read_text() for page in pages)


def metric_names() -> list[str]:
    return sorted(family.name for family in Metrics().registry.collect())


def routes() -> list[str]:
    return sorted({route.path for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)})


def entry_points() -> list[str]:
    return sorted(yaml.safe_load((root() / "MLproject").read_text())["entry_points"])


@pytest.mark.parametrize("name", sorted(ServingSettings.model_fields))
def test_a_setting_is_documented(name):
    text = (root() / "docs" / "service.md").read_text()
    assert f"| `{name}` |" in text, f"setting {name} is not documented: add its row to the settings of docs/service.md"


@pytest.mark.parametrize("name", metric_names())
def test_a_metric_is_documented(name):
    assert re.search(rf"`{name}(_total)?`", docs()), f"metric {name} is not documented: add its row to docs/service.md"


@pytest.mark.parametrize("path", routes())
def test_a_route_is_documented(path):
    sample = re.sub(r"\\\{[^}]*\\\}", r"[^/\\s`'\"]+", re.escape(path))
    assert re.search(sample, docs()), f"route {path} is not documented: show it in docs/service.md or docs/events.md"


@pytest.mark.parametrize("name", entry_points())
def test_an_entry_point_is_documented(name):
    assert re.search(rf"(-e |`){re.escape(name)}\b", docs()), f"entry point {name} is not documented: show it in docs"
