"""docs/troubleshooting.md quotes messages as the code has them."""

import re
from pathlib import Path

from recstage.config import root


def quoted() -> list[str]:
    page = (root() / "docs" / "troubleshooting.md").read_text()
    table = page.split("## By message")[1].split("## By symptom")[0]
    return re.findall(r"^\| `(.+?)` \|", table, re.M)


def test_every_quoted_message_is_one_of_the_code():
    def joined(path: Path) -> str:
        return re.sub(r'"\s*\n\s*f?"', "", path.read_text())  # a message may be written over several lines

    code = "\n".join(joined(path) for folder in ("src/recstage", "serving") for path in (root() / folder).rglob("*.py"))
    assert len(quoted()) > 10
    assert [one for one in quoted() if one not in code] == []
