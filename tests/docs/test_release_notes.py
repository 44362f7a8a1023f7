"""Notes of a release come from the changelog, and only where all files name one version."""

import pytest

from experiments.guide import release_notes
from recstage.config import root
from recstage.errors import ConfigError

CHANGELOG = """# Changelog

## [Unreleased]

## [0.2.0] - 2026-12-01

### Added

- This.

## [0.1.0]

- That.
"""


def test_notes_are_the_lines_below_the_heading_of_the_version():
    assert release_notes.notes(CHANGELOG, "0.2.0") == "### Added\n\n- This.\n"


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("0.3.0", "has no such heading"),
        ("0.1.0", "a release has a day"),
        ("Unreleased", "says nothing"),
        ("v2", "MAJOR.MINOR.PATCH"),
        ("", "MAJOR.MINOR.PATCH"),
    ],
)
def test_a_version_without_notes_is_refused(version, said):
    with pytest.raises(ConfigError, match=said):
        release_notes.notes(CHANGELOG, version)


def test_files_that_name_another_version_are_told(capsys):
    assert release_notes.main(["9.9.9"]) == 2
    assert "pyproject.toml has" in capsys.readouterr().err


def test_the_changelog_of_the_repository_can_be_read():
    """Headings are those that a release is found by, and what is unreleased is said."""
    text = (root() / "CHANGELOG.md").read_text()
    assert len(release_notes.HEADING.findall(text)) == text.count("\n## ")
    assert release_notes.notes(text, "Unreleased").startswith("### ")
