"""`make release-notes VERSION=0.2.0`: what CHANGELOG.md says of it, for its tag. Exit 2 where versions disagree."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Sequence

from recstage.config import root
from recstage.errors import ConfigError

HEADING = re.compile(r"^## \[(?P<version>[^\]]+)\](?: - (?P<day>\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)
SEMANTIC = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
MANIFEST = "conf/deploy/kubernetes/recstage.yaml"
UNRELEASED = "Unreleased"


def notes(changelog: str, version: str) -> str:
    """The part of the changelog about a version ("Unreleased" too). Raises `ConfigError` where there is none."""
    if version != UNRELEASED and not SEMANTIC.fullmatch(version):
        raise ConfigError(f"version '{version}'", rule="a version is MAJOR.MINOR.PATCH", fix="Write it as 0.2.0")
    found = {one["version"]: one for one in HEADING.finditer(changelog)}
    if version not in found:
        known = ", ".join(found)
        raise ConfigError(
            f"version {version}",
            rule="CHANGELOG.md has no such heading",
            fix=f"Write ## [{version}] - DAY; it has {known}",
        )
    if version != UNRELEASED and not found[version]["day"]:
        raise ConfigError(f"## [{version}]", rule="a release has a day", fix=f"Write ## [{version}] - 2026-12-01")
    text = HEADING.split(changelog[found[version].end() :])[0].strip()
    if not text:
        raise ConfigError(f"## [{version}]", rule="it says nothing", fix="Move the lines of [Unreleased] below it")
    return text + "\n"


def check(version: str) -> None:
    """Raises `ConfigError` where a file names another version."""
    package = tomllib.loads((root() / "pyproject.toml").read_text())["project"]["version"]
    images = set(re.findall(r"image: recstage-\w+:(\S+)", (root() / MANIFEST).read_text()))
    for place, named in (("pyproject.toml", {package}), (MANIFEST, images)):
        if named != {version}:
            raise ConfigError(
                f"version {version}", rule=f"{place} has {', '.join(sorted(named))}", fix="Give all the same version"
            )


def main(arguments: Sequence[str]) -> int:
    """Print the notes; returns the exit status."""
    version = arguments[0] if arguments else ""
    try:
        if version != UNRELEASED:
            check(version)
        print(notes((root() / "CHANGELOG.md").read_text(), version), end="")  # noqa: T201
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
