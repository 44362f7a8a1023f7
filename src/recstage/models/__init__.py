"""Recommenders, a module or a package each, and how a configuration becomes one.

Nothing is imported until it is asked for: a program that serves one algorithm does not load the others' libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recstage.config import ModelConfig, check
from recstage.errors import ConfigError, valid_names
from recstage.renamed import TARGETS, warn

if TYPE_CHECKING:
    from recstage.models.base import ModelParams, Recommender

PREFIX = "recstage.models."


def build(config: ModelConfig, **overrides: Any) -> Recommender:
    """An unfitted recommender with the configured params; `overrides` win over them, name by name.

    Raises `ConfigError` on a target outside `recstage.models` and on params that its schema refuses.
    """
    _warn_of_old_target(config)
    return create(config.target, {**config.params, **overrides}, where=f"{config.name}.params")


def create(target: str, params: Mapping[str, Any], *, where: str = "params") -> Recommender:
    """`build` from a target ("recstage.models.ncf:Ncf") and its params; `where` names their origin in an error."""
    kind = class_of(target)
    return kind(check(kind.Params, params, where))


def params_class(config: ModelConfig) -> type[ModelParams]:
    """The schema of the model's hyperparameters."""
    _warn_of_old_target(config)
    return class_of(config.target).Params


def _warn_of_old_target(config: ModelConfig) -> None:
    if config.target in TARGETS:
        warn(f"conf/model/{config.name}.yaml: {config.target}", TARGETS[config.target])


def class_of(target: str) -> type[Recommender]:
    """The recommender class of "recstage.models.MODULE:CLASS"; MODULE may be dotted, or a name of an earlier version.

    Raises `ConfigError` on anything else.
    """
    from recstage.models.base import Recommender

    path, _, name = TARGETS.get(target, target).partition(":")
    inside = path.removeprefix(PREFIX)
    if not path.startswith(PREFIX) or inside not in (modules := _modules()):
        raise ConfigError(
            f"target '{target}'",
            rule="a model is a class in recstage.models, written recstage.models.MODULE:CLASS",
            fix=valid_names(inside, sorted(_modules())),
        )
    module = modules[inside]
    kinds = {
        key: value
        for key, value in vars(import_module(module)).items()
        if isinstance(value, type) and issubclass(value, Recommender) and f"{value.__module__}.".startswith(f"{path}.")
    }
    if name not in kinds:
        raise ConfigError(f"target '{target}'", rule=f"{path} has no such recommender", fix=valid_names(name, kinds))
    return kinds[name]


def target_of(kind: type[Recommender]) -> str:
    """The target by which `class_of` finds the class; a package stands for its module `model`."""
    return f"{kind.__module__.removesuffix('.model')}:{kind.__qualname__}"


def _modules() -> dict[str, str]:
    """Modules of this package, found without importing them: dotted names below the package, and full names."""
    here = Path(__file__).parent
    files = (path.relative_to(here).with_suffix("") for path in here.rglob("*.py"))
    inside = {".".join(path.parts).removesuffix("__init__").removesuffix(".") for path in files}
    return {name: PREFIX + name for name in inside if name}


__all__ = ["build", "class_of", "create", "params_class", "target_of"]
