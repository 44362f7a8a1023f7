"""The one error tree. Every message says what was given, the rule it breaks, and the fix, on one line.

RecstageError
├── InputError              exit 2: what the user gave cannot be used
│   ├── ConfigError         a YAML file, an environment variable or an override
│   ├── DataError           a data set
│   │   └── TooLittleData   below the minimum that a model needs
│   │       └── NoOrder     nothing says what came first, and the model learns from that
│   ├── BundleError         a saved model that is broken, or not one of ours
│   └── RegistryError       a version, a stage, an alias
│       └── NoProduction    nothing is staged Production
├── StoreError              exit 2: a database or disk that cannot be used: locked, full, unavailable
├── OutOfMemory             exit 2: what was asked for does not fit into the memory of this machine
├── ExternalToolError       exit 1: a program outside recstage failed
└── GateRefused             exit 3: the promotion gate said no
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable

LIKE, MARGIN, PART = 0.6, 0.1, 0.95
"""Of names that are suggested: how alike they must be (1: the same), how much less than the best one, and what a
part of a name is worth that is the same."""


class RecstageError(Exception):
    """Base of all: `given` is what arrived, `rule` what must hold, `fix` what to do about it."""

    exit_code = 1

    def __init__(self, given: str, *, rule: str, fix: str) -> None:
        self.given, self.rule, self.fix = (" ".join(str(part).split()) for part in (given, rule, fix))
        super().__init__(f"{self.given}: {self.rule}. {self.fix}.")

    def __reduce__(self) -> tuple:
        return _rebuild, (type(self), self.given, self.rule, self.fix)


class InputError(RecstageError):
    """What the user gave cannot be used; the program ends with status 2."""

    exit_code = 2


class ConfigError(InputError):
    """A setting: misspelt, missing, or out of its range."""


class Diverged(ConfigError):
    """A loss that is no longer a number: the parameters are at fault, not the data."""


class DataError(InputError):
    """A data set that cannot be read or breaks the schema."""


class TooLittleData(DataError):
    """A data set below the minimum that a model or split needs."""


class NoOrder(TooLittleData):
    """A data set that says nothing of what came first, for a model that learns from the order."""


class TooMuchData(DataError):
    """A data set that is larger than a model can take in, such as a catalogue for a dense item-item matrix."""


class BundleError(InputError):
    """A saved model that is broken, incomplete, or not one of ours."""


class RegistryError(InputError):
    """A registered version, stage or alias that is not there or cannot be changed so."""


class NoProduction(RegistryError):
    """Nothing is staged Production."""


class StoreError(RecstageError):
    """A database or a disk that cannot be used: locked, full, or unavailable; the program ends with status 2.

    It is not the user's input, but has the same status.
    """

    exit_code = 2


class OutOfMemory(RecstageError):
    """A fit that needs more memory than there is; the program ends with status 2: other settings may fit."""

    exit_code = 2


class ExternalToolError(RecstageError):
    """A program outside recstage that is missing or failed; the program ends with status 1."""


class GateRefused(RecstageError):
    """The promotion gate said no; the program ends with status 3."""

    exit_code = 3


def refuse_newer(what: str, manifest: bytes, known: int) -> None:
    """Raise `BundleError` where a manifest, as JSON, is of a later format than the `known` one."""
    try:
        found = json.loads(manifest)["format"]
    except (ValueError, TypeError, KeyError):
        return
    if isinstance(found, int) and found > known:
        raise BundleError(
            what,
            rule=f"its format is {found}, and this version of recstage reads up to {known}",
            fix="Update recstage on this host, or promote a version that it can read",
        )


def _rebuild(kind: type[RecstageError], given: str, rule: str, fix: str) -> RecstageError:
    return kind(given, rule=rule, fix=fix)


def valid_names(given: str, valid: Iterable[str]) -> str:
    """The fix for a wrong name: the nearest valid one where there is one, then all of them."""
    names = sorted(set(valid))
    close = nearest(given, names)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return f"{hint}Valid names: {', '.join(names) or 'none'}"


def nearest(given: str, valid: Iterable[str], most: int = 1) -> list[str]:
    """The valid names that may have been meant, the likeliest first. `factors` may be `model.params.factors`, and
    `colums.x` something of `columns`."""
    scores = {name: _how_alike(given, name) for name in sorted(set(valid))}
    least = max(LIKE, max(scores.values(), default=(0, 0))[0] - MARGIN)
    alike = [name for name in scores if scores[name][0] >= least]
    return sorted(alike, key=lambda name: scores[name], reverse=True)[:most]


def _how_alike(given: str, name: str) -> tuple[float, float]:
    """From 0 to 1: of the whole names, else a little less of a dotted name's end or of both beginnings; then of the
    whole names."""
    parts = name.split(".")
    ends = [".".join(parts[at:]) for at in range(1, len(parts))]
    pairs = [(given, end) for end in ends] + [(given.rpartition(".")[0], name.rpartition(".")[0] or name)]
    of_parts = max(difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs)
    whole = difflib.SequenceMatcher(None, given, name).ratio()
    return max(whole, PART * of_parts), whole
