"""The copy as a file, `registry.json` in the folder of bundles: all versions, and the changes of Production.

The workers show it without MLflow, and while the registry is unavailable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from serving.models.repository import BundleRepository

FILE = "registry.json"


@dataclass(frozen=True)
class VersionRow:
    """A registered version. Times are milliseconds since 1970. `figures`: metrics of its test rows, by name.

    `gate`: passed, refused or forced, empty before it was judged; `gate_reasons`: why it was refused. Only versions of
    the same `data`, `split` and `fingerprint` can be compared by their figures.
    """

    version: str
    stage: str
    algorithm: str
    created_at: int
    run_id: str
    data: str
    split: str
    fingerprint: str
    figures: Mapping[str, float] = field(default_factory=dict)
    gate: str = ""
    gate_at: str = ""
    gate_reasons: str = ""
    experiment: Mapping[str, str] = field(default_factory=dict)
    """The tags of its experiment, where it is in Staging."""


@dataclass(frozen=True)
class ChangeRow:
    """One change of Production. `version` None: nothing was Production from then on."""

    version: str | None
    previous: str | None
    at: int
    by: str
    how: str
    reason: str


@dataclass(frozen=True)
class RegistryCopy:
    """The registry at one moment (`at`: Unix time): versions, the newest first; changes, the newest first."""

    at: float
    versions: tuple[VersionRow, ...]
    changes: tuple[ChangeRow, ...]


def write_copy(repository: BundleRepository, copy: RegistryCopy) -> None:
    """Replace the file. Raises `OSError`."""
    repository.write_json(FILE, asdict(copy))


def read_copy(repository: BundleRepository) -> RegistryCopy | None:
    """The copy; None before the first, or where another version of the service wrote it."""
    values = repository.read_json(FILE)
    if values is None:
        return None
    try:
        versions = tuple(VersionRow(**row) for row in values["versions"])
        return RegistryCopy(values["at"], versions, tuple(ChangeRow(**row) for row in values["changes"]))
    except (KeyError, TypeError):
        return None
