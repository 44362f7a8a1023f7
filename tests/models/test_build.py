"""From a configuration to a model, and what is refused on the way."""

from __future__ import annotations

import subprocess
import sys

import pytest

from recstage.config import ModelConfig, model_config_of
from recstage.errors import ConfigError
from recstage.models import build, class_of, create, params_class
from recstage.models.factorization.als import ALS, ALSParams


def config(target: str = "recstage.models.factorization.als:ALS", **params: object) -> ModelConfig:
    return ModelConfig(name="mine", target=target, params=params)


def test_overrides_win_over_configured_params_which_win_over_defaults() -> None:
    model = build(config(factors=7, alpha=2.0), alpha=9.0)
    assert isinstance(model, ALS)
    assert (model.params.factors, model.params.alpha) == (7, 9.0)
    assert model.params.iterations == ALSParams().iterations


def test_the_schema_of_the_params_can_be_asked_for() -> None:
    assert params_class(config()) is ALSParams


@pytest.mark.parametrize("target", ["os.path:join", "recstage.models.alz:ALS", "recstage.bundle:Bundle", "als", ""])
def test_targets_outside_the_models_are_refused(target: str) -> None:
    with pytest.raises(ConfigError, match="a model is a class in recstage.models") as refused:
        class_of(target)
    assert f"target '{target}'" in str(refused.value)
    assert "popularity" in str(refused.value)


def test_a_misspelt_module_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'neighborhood.graph'"):
        class_of("recstage.models.neighborhood.grap:Graph")


@pytest.mark.parametrize("name", ["Als", "ALSParams", "base", "_Side", "Users"])
def test_what_is_no_recommender_of_the_module_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"factorization\.als has no such recommender.*Valid names: ALS"):
        class_of(f"recstage.models.factorization.als:{name}")


def test_params_of_a_wrong_type_name_their_origin() -> None:
    with pytest.raises(ConfigError, match="mine.params: factors = 'many': Input should be a valid integer"):
        build(config(factors="many"))
    with pytest.raises(ConfigError, match="conf/x.yaml: factors = 0: Input should be greater than or equal to 1"):
        create("recstage.models.factorization.als:ALS", {"factors": 0}, where="conf/x.yaml")


def test_serving_classic_models_loads_no_training_library() -> None:
    program = """
import sys
from recstage.config import model_config_of
from recstage.models import class_of
for name in ("als", "knn", "graph", "content", "popularity", "random"):
    class_of(model_config_of(name).target)
heavy = {"torch", "mlflow", "implicit", "lightgbm", "sklearn", "matplotlib", "optuna"} & set(sys.modules)
sys.exit(", ".join(heavy) or 0)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_yaml_says_what_it_registers_as() -> None:
    assert model_config_of("als").registered_name == "recommender"
