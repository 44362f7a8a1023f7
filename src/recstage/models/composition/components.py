"""Components of composite models: how they are named and fitted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from recstage.config import ModelConfig, Schema, model_config_of
from recstage.data.interactions import Interactions
from recstage.errors import NoOrder
from recstage.models import build, class_of, params_class
from recstage.models.base import Fitting, Recommender


class Component(Schema):
    """A model within another: a name in conf/model, and overrides of its params there."""

    model: str = Field(description="name of the model")
    params: dict[str, Any] = Field(default_factory=dict, description="overrides of its params")
    label: str = Field(
        "", pattern=r"^[\w-]*$", description="its name within the composite; by default the name of the model"
    )

    @property
    def name(self) -> str:
        return self.label or self.model

    @property
    def needs_order(self) -> bool:
        """Whether the model needs an order in time. Raises `ConfigError` on an unknown model."""
        return class_of(model_config_of(self.model).target).needs_order

    def fit(self, rows: Interactions, fitting: Fitting) -> Recommender:
        """The component fitted to `rows`, without early stopping: validation rows belong to the composite.

        Raises `ConfigError` on an unknown model.
        """

        def fitted() -> Recommender:
            return build(model_config_of(self.model), **self.params).fit(
                rows,
                seed=fitting.seed,
                catalogue=fitting.catalogue,
                checkpoint=fitting.checkpoint,
                backend=fitting.backend,
            )

        if fitting.shared is None:
            return fitted()
        return fitting.shared.get(f"{self.model} {json.dumps(self.params, sort_keys=True)} {rows.fingerprint}", fitted)


def _by_name(value: Any) -> Any:
    """Replaces a plain name by the component of that model, without overrides."""
    if not isinstance(value, list | tuple):
        return value
    return tuple({"model": entry} if isinstance(entry, str) else entry for entry in value)


def _distinct(components: tuple[Component, ...]) -> tuple[Component, ...]:
    names = [component.name for component in components]
    if len(set(names)) < len(names):
        raise ValueError("components of one model need labels that differ")
    return components


Components = Annotated[tuple[Component, ...], BeforeValidator(_by_name), AfterValidator(_distinct)]
"""Components with distinct names; a plain string is the name of a model."""


def without_order(components: tuple[Component, ...]) -> tuple[Component, ...]:
    """The components that need no order in time. Raises `NoOrder` where all do."""
    kept = tuple(one for one in components if not one.needs_order)
    if not kept:
        raise NoOrder(
            ", ".join(one.name for one in components),
            rule="all of them learn from what follows what, and nothing in the data says what came first",
            fix="Name a model that needs no order, such as als or ease",
        )
    return kept


def updated_parts(model: Recommender, parts: Mapping[str, Recommender], fitting: Fitting) -> dict[str, Recommender]:
    """The parts of an older composite, each updated for the rows and catalogue of `model`. Raises `ConfigError` where
    one cannot be."""
    return {
        name: part.updated(model.train_, catalogue=fitting.catalogue, seed=fitting.seed, refresh=fitting.refresh)
        for name, part in parts.items()
    }


def is_composite(config: ModelConfig) -> bool:
    """Whether the model is composed of other models of conf/model."""
    values = params_class(config)(**config.params)
    return any(isinstance(one, Component) for _, value in values if isinstance(value, tuple) for one in value)


def with_members(config: ModelConfig, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The params of a composite, its components without params of their own having those `found` for their model."""
    values = params_class(config)(**config.params)
    known = {
        name: [
            (one if one.params or one.model not in found else one.model_copy(update={"params": found[one.model]}))
            for one in value
        ]
        for name, value in values
        if isinstance(value, tuple) and value and all(isinstance(one, Component) for one in value)
    }
    return {**config.params, **{name: [one.model_dump() for one in members] for name, members in known.items()}}


def named(*models: str) -> tuple[Component, ...]:
    """Components by the names of their models."""
    return tuple(Component(model=name) for name in models)
