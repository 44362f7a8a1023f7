"""What README and docs/ hold: links, anchors, blocks of code, commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from recstage.config import root

PROGRAMS = ("make", "recstage", "mlflow", "curl", "python", "pip", "pytest")
"""Programs whose lines are commands wherever they stand: in blocks without a language, and within the text."""
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?:^\n|\A)((?: {4}\S.*\n(?: {4}.*\n|\n)*)+)", re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)|<img[^>]* src=\"([^\"]+)\"")
HEADING = re.compile(r"^#{1,6} (.+?)(?: #+)?$", re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A command as it is printed, with the page and the line it stands on."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@cache
def pages() -> tuple[Path, ...]:
    """README, the changelog and every page of docs/."""
    return (root() / "README.md", root() / "CHANGELOG.md", *sorted((root() / "docs").rglob("*.md")))


def name_of(page: Path) -> str:
    """Its path in the repository."""
    return page.relative_to(root()).as_posix()


def without_code(text: str) -> str:
    """The text of a page with its code blanked."""
    return INLINE.sub("", FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as code hosts and the guide make them."""
    found: dict[str, int] = {}
    slugs = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip())
        slugs.add(slug if slug not in found else f"{slug}-{found[slug]}")
        found[slug] = found.get(slug, 0) + 1
    return slugs


def blocks(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, language and text of each block of code; indented blocks have the language "indented"."""
    for match in FENCE.finditer(text):
        lines = match["text"].splitlines()
        code = "\n".join(line.removeprefix(match["indent"]) for line in lines)
        yield text.count("\n", 0, match.start()) + 2, match["language"], code
    plain = FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    for match in INDENTED.finditer(plain):
        code = "\n".join(line.removeprefix("    ") for line in match[1].splitlines())
        yield plain.count("\n", 0, match.start(1)) + 1, "indented", code


def commands_of(page: Path) -> Iterator[Command]:
    """Every command of a page: of its blocks, and those within the text that name more than a program."""
    text = page.read_text()
    for line, language, code in blocks(text):
        if language in ("sh", "bash", "console", "", "indented"):
            for offset, command in _joined(code, shell=language in ("sh", "bash", "console")):
                yield Command(f"{name_of(page)}:{line + offset}", command)
    for line, written in enumerate(FENCE.sub(lambda found: "\n" * found[0].count("\n"), text).splitlines(), 1):
        for span in INLINE.findall(written):
            if span.startswith(("make ", "recstage ", "mlflow run . ", "python -m ")):
                yield Command(f"{name_of(page)}:{line}", span)


def _joined(code: str, shell: bool) -> Iterator[tuple[int, str]]:
    """Commands of a block with their line: what goes on over a backslash or in quotes is one of them."""
    whole, begin = "", 0
    for number, line in enumerate(code.splitlines()):
        if not whole:
            begin = number
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            if not shell and not re.match(rf"\s*(?:[A-Z_]+=\S+ )*(?:{'|'.join(PROGRAMS)})\b", line):
                continue
        whole += line
        if whole.endswith("\\"):
            whole = whole[:-1] + " "
        elif _open(whole):
            whole += "\n"
        else:
            yield begin, whole.strip()
            whole = ""
    assert not whole, f"a command that does not end: {whole}"


def _open(text: str) -> bool:
    """Whether a quote is open at the end."""
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return False


def simple_commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a line: three in `a && b | c > file`. Variables before one are left out."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split, lexer.commenters = True, "#"
    words: list[str] = []
    redirected = False
    for word in [*lexer, ";"]:
        if word and set(word) <= set("&|;"):
            if words:
                yield words
            words = []
        elif word and set(word) <= set("<>"):
            redirected = True
        elif redirected:
            redirected = False
        elif words or not re.fullmatch(r"[A-Za-z]\w*=.*", word, re.DOTALL):
            words.append(word)
