"""`make licences`: writes docs/licences.md, the licence of every package that constraints.txt pins, as installed."""

from __future__ import annotations

import re
import sys
from email.message import Message
from importlib.metadata import Distribution, distributions
from typing import cast

from recstage.config import root
from recstage.markdown import table

PAGE = root() / "docs" / "licences.md"
CLASSIFIER = "License :: OSI Approved :: "
LONGEST = 60
INTRO = """# Licences of the dependencies

Every package that `constraints.txt` pins, as its own metadata names it. `make licences` writes this page, and a test
holds it to the pins. An image or an environment that you pass on contains them; their texts are in `*.dist-info` below
`site-packages`. The service alone needs those of `conf/deploy/service-requirements.txt`, and what these need.

"""
ELSEWHERE = "not installed here"
"""Of packages of an extra, or of another platform, that the page was written without."""


def pinned() -> dict[str, str]:
    """Name and version of each pin."""
    lines = (root() / "constraints.txt").read_text().splitlines()
    return dict(line.partition(";")[0].strip().split("==") for line in lines if "==" in line)


def normal(name: str) -> str:
    """The name of a package as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(distribution: Distribution) -> str:
    """What the metadata say: the expression, the classifiers, or the first line of the text."""
    about = cast(Message, distribution.metadata)  # the protocol lacks `get`
    named = about.get("License-Expression")
    if named:
        return named
    classified = [
        one.removeprefix(CLASSIFIER) for one in about.get_all("Classifier") or () if one.startswith(CLASSIFIER)
    ]
    if classified:
        return ", ".join(classified)
    first = (about.get("License") or "").strip().split("\n")[0].strip()
    return first if 0 < len(first) <= LONGEST else "see its files"


def page() -> str:
    """The text of docs/licences.md."""
    found = {normal(one.metadata["Name"]): licence(one) for one in distributions() if one.metadata["Name"]}
    rows = [
        (f"`{name}`", version, found.get(normal(name), ELSEWHERE))
        for name, version in sorted(pinned().items(), key=lambda one: one[0].lower())
    ]
    return INTRO + table(("package", "version", "licence"), rows)


def main() -> int:
    """Write the page; returns the exit status."""
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
