"""What data sets and registered models may be called: a name is a part of paths, URLs and command lines."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

LONGEST = 120
OF_DATA, OF_MODELS = "/\\", "/\\:#?%"


def data_name(name: str) -> str:
    """The name of a data set. Raises `ValueError` on one that would lead out of its folder."""
    return _checked(name, OF_DATA, "data set")


def model_name(name: str) -> str:
    """The name of a registered model, as MLflow and URLs take it; empty: the default. Raises `ValueError`."""
    return _checked(name, OF_MODELS, "registered model") if name else name


def usable(name: str) -> str:
    """What is left of any text that a data set may be called; nothing where nothing is."""
    kept = "".join("-" if one in OF_DATA or not one.isprintable() else one for one in name)
    return kept.encode("utf-8", "ignore")[:LONGEST].decode("utf-8", "ignore").lstrip(".- ").rstrip()


def _checked(name: str, forbidden: str, what: str) -> str:
    wrong = any(one in forbidden or not one.isprintable() for one in name)
    if not name or wrong or name != name.strip() or name.startswith((".", "-")) or len(name.encode()) > LONGEST:
        raise ValueError(
            f"the name of a {what} has letters, digits and any of - _ . ( ), begins with none of - ., and has "
            f"no {' '.join(forbidden)}; it has at most {LONGEST} bytes"
        )
    return name


def zone_name(name: str) -> str:
    """The name of a zone of times. Raises `ValueError` on one that is none."""
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"no such zone of times: '{name}'; give one as Europe/Berlin or UTC") from error
    return name


DataName = Annotated[str, AfterValidator(data_name)]
ModelName = Annotated[str, AfterValidator(model_name)]
ZoneName = Annotated[str, AfterValidator(zone_name)]
