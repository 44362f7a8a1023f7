"""A registered version as a `FittedModel`."""

from __future__ import annotations

from recstage.errors import ConfigError
from recstage.interactive.fitted import FittedModel

PREFIX = "models:/"


def load(uri: str) -> FittedModel:
    """A version of the registry: `models:/recommender/Production`, `models:/recommender/3`, or `recommender` alone for
    its Production.

    Raises `ConfigError` on anything else, `RegistryError` where there is no such version, `NoProduction`.
    """
    from recstage import bundle, registry, tracking

    name, _, number = uri.removeprefix(PREFIX).partition("/")
    if not name or name.startswith("m-") or ":" in name:
        raise ConfigError(
            f"'{uri}'", rule="a version is models:/NAME/NUMBER or models:/NAME/Production", fix="Name one"
        )
    tracking.connect()
    version = registry.version_of(name, registry_word(number))
    return FittedModel(bundle.load(registry.fetch(version)).model, str(version))


def registry_word(number: str) -> str:
    """`Production` however it is written, also where nothing is; a number as it is."""
    return "Production" if number.lower() in ("", "production") else number
