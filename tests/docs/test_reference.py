"""The reference of the guide names all there is, and diagrams are drawn as they are written."""

import re

import pytest
import yaml

from experiments.guide.diagram import svg, with_pictures
from experiments.guide.reference import PAGES
from recstage.config import names_in, root
from serving.settings import ServingSettings
from tests.structure.test_documented import metric_names, routes

CHART = """flowchart TB
  subgraph a[ ]
    one["One<br>the first"]
    two["Two"]
  end
  subgraph b[ ]
    three["Three & more"]
  end
  one -- "because" --> three
  two --> three
  one --> two
"""


def page(name: str) -> str:
    return PAGES[f"reference/{name}.md"]()


def test_every_setting_stands_with_its_default_and_its_variable():
    text = page("settings")
    assert all(f"| `{name}` |" in text for name in ServingSettings.model_fields)
    assert "| `port` | `8000` | `RECSTAGE_SERVING_PORT` |" in text


def test_every_entry_point_stands_with_its_parameters():
    text = page("entry-points")
    entries = yaml.safe_load((root() / "MLproject").read_text())["entry_points"]
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert rows.keys() == entries.keys()
    assert all(f"`{name}`" in rows[entry] for entry, one in entries.items() for name in one.get("parameters", {}))


def test_every_model_stands_with_its_parameters():
    text = page("model-parameters")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == list(names_in("model"))
    assert re.search(r"^\| `factors` \| `\d+` \| `\d+` \| 32 to 256 \|", text, re.MULTILINE)


def test_every_route_stands_with_its_answers():
    text = page("api")
    paths = [re.sub(r":\w+}", "}", path) for path in routes()]
    assert all(re.search(rf"^### [A-Z]+ {re.escape(path)}$", text, re.MULTILINE) for path in paths)
    assert "| `user_id` | query |" in text
    assert "422 Unprocessable" in text


def test_every_metric_stands_with_its_kind():
    text = page("metrics")
    assert all(re.search(rf"\| `{name}(_total)?` \| \w+ \|", text) for name in metric_names())


def test_a_field_of_each_yaml_of_conf_stands():
    text = page("configuration")
    for field in ("split.test_fraction", "search", "cutoffs", "guardrails.coverage_ratio", "triggers.schedule.days"):
        assert f"| `{field}` |" in text, field


def test_subcommands_and_the_library_are_described():
    assert "## recstage promote" in page("commands")
    assert "fit(\n    model: str," in page("python")


def test_a_diagram_has_a_box_for_each_node_and_a_line_for_each_arrow():
    drawn = svg(CHART)
    assert drawn.count("<rect") == 3
    assert drawn.count('class="arrow"') == 3
    assert ">because</text>" in drawn
    assert ">the first</text>" in drawn
    assert "Three &amp; more" in drawn


def test_diagrams_of_a_page_are_replaced_and_nothing_else():
    text = with_pictures(f"before\n\n```mermaid\n{CHART}```\n\n```sh\nmake\n```\n")
    assert text.startswith('before\n\n<div class="diagram"><svg')
    assert text.endswith("```sh\nmake\n```\n")


def test_an_arrow_to_no_node_is_told():
    with pytest.raises(ValueError, match="no node is called"):
        svg(CHART + "  one --> four\n")
