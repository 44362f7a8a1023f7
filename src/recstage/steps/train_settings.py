"""The settings of a training run: a model and a data set by name, the evaluation, and any override."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, create_model

from recstage.config import (
    ModelConfig,
    SearchRange,
    model_config_of,
    read_yaml,
    resolve,
    root,
    with_whole_paths,
)
from recstage.config.steps import AUTO, DEFAULT, DEFAULT_NAME, TrainSettings
from recstage.data import dataset
from recstage.errors import ConfigError, valid_names
from recstage.models import params_class
from recstage.renamed import new_names, new_options

SEARCH = "range of each parameter that a search tries; null: not tried"


def settings_from(
    model: str, data: str, arguments: Sequence[str] = (), overrides: Mapping[str, Any] | None = None
) -> TrainSettings:
    """Settings for a model and a data set by name, with command-line arguments and further values by field.

    Raises `ConfigError` on an unknown name, listing the valid ones.
    """
    config = model_config_of(model)
    params = params_class(config)
    # the command line knows the hyperparameters of just this model, with their descriptions
    typed = create_model(
        f"{params.__name__}Config",
        __base__=ModelConfig,
        params=(params, Field(default_factory=params)),
        search=(dict[str, SearchRange | None], Field(default_factory=dict, description=SEARCH)),
    )
    search = new_names(config.search, params.renamed, where=f"conf/model/{model}.yaml: search.")
    schema = create_model("TrainSettings", __base__=TrainSettings, model=(typed, ...))
    defaults = {
        "data": dataset.config_of(data),
        "model": config.model_copy(update={"search": search}).model_dump(exclude_unset=True),
        "evaluation": read_yaml(root() / "conf" / "evaluation.yaml"),
        **(overrides or {}),
    }
    old_names = {f"model.params.{old}": f"model.params.{new}" for old, new in params.renamed.items()}
    found = resolve(schema, defaults, new_options(arguments, old_names), program=f"train {model}")
    values = {name: getattr(found, name) for name in TrainSettings.model_fields}
    tried = _without_null(found.model.search, search, model)
    chosen = ModelConfig(**{**found.model.model_dump(), "search": tried})
    if found.name:
        chosen = chosen.model_copy(update={"registered_name": registered_name(chosen, found.name)})
    if found.preset == AUTO and found.model.params != params(**config.params):
        values["preset"] = DEFAULT  # parameters that were named are not to be replaced by a preset's
    return TrainSettings.model_construct(**{**values, "model": chosen, "data": with_whole_paths(found.data)})


def _without_null(
    given: Mapping[str, SearchRange | None], configured: Mapping[str, Any], model: str
) -> dict[str, SearchRange]:
    """The ranges of a search, which the command line adds to those of the YAML: null takes a parameter out."""
    unknown = next((name for name, one in given.items() if one is None and name not in configured), None)
    if unknown is not None:
        raise ConfigError(
            f"model.search.{unknown} = null",
            rule=f"null takes a parameter out of the search of conf/model/{model}.yaml",
            fix=valid_names(unknown, configured),
        )
    return {name: one for name, one in given.items() if one is not None}


def registered_name(model: ModelConfig, name: str) -> str:
    """The registered model of a family called `name`: "shop", or "shop-reverse" of a model from items to users."""
    return model.registered_name.replace(DEFAULT_NAME, name, 1)
