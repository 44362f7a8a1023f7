"""MkDocs calls these while it builds the guide (`docs/site/mkdocs.yml`, `make docs`)."""

from __future__ import annotations

import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from experiments.guide.diagram import with_pictures
from experiments.guide.reference import pages
from recstage.config import root

STYLE = "assets/guide.css"
CHANGELOG = "changelog.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lists the decisions below their overview."""
    listed = next(part for section in config.nav or [] for entry in _entries(section) for part in entry.values())
    listed += [f"decisions/{path.name}" for path in sorted((root() / "docs" / "decisions").glob("0*.md"))]
    return config


def _entries(section: dict[str, list[Any]]) -> list[dict[str, list[str]]]:
    """Sections within a section."""
    return [entry for entries in section.values() for entry in entries if isinstance(entry, dict)]


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the reference, the changelog and the style sheet."""
    added = {**pages(), CHANGELOG: _changelog(), STYLE: (root() / "docs" / "site" / "guide.css").read_text()}
    for name, text in added.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Draws diagrams, and leads links that leave docs/ to what stands in the guide in their place."""
    return with_pictures(markdown).replace("](../CHANGELOG.md", f"]({CHANGELOG}")


def _changelog() -> str:
    """CHANGELOG.md, whose links start at the top of the repository."""
    return re.sub(r"\]\(docs/", "](", (root() / "CHANGELOG.md").read_text())
