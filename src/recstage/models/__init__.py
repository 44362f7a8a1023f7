"""Recommenders, one file each, and how a configuration becomes one.

Nothing is imported until it is asked for: a program that serves one algorithm does not load the others' libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from recstage.config import ModelConfig, check
from recstage.errors import ConfigError, valid_names

if TYPE_CHECKING:
    from recstage.models.base import ModelParams, Recommender

PREFIX = "recstage.models."


def build(config: ModelConfig, **overrides: Any) -> Recommender:
    """An unfitted recommender with the configured params; `overrides` win over them, name by name.

    Raises `ConfigError` on a target that is none of ours and on params that its schema refuses.
    """
    return create(config.target, {**config.params, **overrides}, where=f"{config.name}.params")


def create(target: str, params: Mapping[str, Any], *, where: str = "params") -> Recommender:
    """`build` from a target ("recstage.models.als:ALS") and its params; `where` names their origin in an error."""
    kind = class_of(target)
    return kind(check(kind.Params, params, where))


def params_class(config: ModelConfig) -> type[ModelParams]:
    """The schema of the model's hyperparameters."""
    return class_of(config.target).Params


def class_of(target: str) -> type[Recommender]:
    """The recommender class of "recstage.models.MODULE:CLASS". Raises `ConfigError` on anything else."""
    from recstage.models.base import Recommender

    path, _, name = target.partition(":")
    modules = sorted(module.name for module in iter_modules(__path__))
    inside = path.removeprefix(PREFIX)
    if not path.startswith(PREFIX) or inside not in modules:
        raise ConfigError(
            f"target '{target}'",
            rule="a model is a class in recstage.models, written recstage.models.MODULE:CLASS",
            fix=valid_names(inside, modules),
        )
    module = import_module(path)
    kinds = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Recommender) and value.__module__ == path
    }
    if name not in kinds:
        raise ConfigError(f"target '{target}'", rule=f"{path} has no such recommender", fix=valid_names(name, kinds))
    return kinds[name]


__all__ = ["build", "class_of", "create", "params_class"]
