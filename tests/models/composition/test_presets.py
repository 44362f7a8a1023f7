"""Components take the preset of their model that is best on the held-out users."""

from __future__ import annotations

import pytest

from recstage.config import model_config_of
from recstage.data.catalogue import Catalogue
from recstage.data.kind import kind_of
from recstage.models import base, build
from recstage.models.composition.components import Component, with_members
from recstage.models.composition.presets import with_best_preset
from recstage.models.composition.selection import HeldOutUsers
from recstage.models.hybrid import Hybrid, HybridParams
from recstage.models.lambdarank import LambdaRank
from recstage.models.lambdarank.params import LambdaRankParams
from tests.synthetic_data import chains, without_last

TRAIN, LATER = without_last(chains())
FITTING = base.Fitting(1, LATER, Catalogue.empty(TRAIN.items), base.silent, None)


@pytest.fixture(scope="module")
def held() -> HeldOutUsers:
    return HeldOutUsers.of(TRAIN, LATER, cold_below=5, hot_from=20, seed=1)


@pytest.mark.parametrize("model", ["graph", "transitions"])
def test_a_component_has_the_params_that_rank_best(model: str, held: HeldOutUsers) -> None:
    config = model_config_of(model)
    presets = {name: one.params for name, one in config.presets_for(kind_of(TRAIN)).items()}
    assert presets
    values = {name: held.of_model(build(config, **params).fit(TRAIN, seed=1)).mean()
              for name, params in {"default": {}, **presets}.items()}  # fmt: skip
    best = max(values, key=values.__getitem__)

    found = with_best_preset(Component(model=model), TRAIN, FITTING, held)

    assert found.params == {"default": {}, **presets}[best]


def test_params_that_were_given_stay(held: HeldOutUsers) -> None:
    given = Component(model="graph", params={"neighbors": 7})
    assert with_best_preset(given, TRAIN, FITTING, held) is given
    plain = Component(model="popularity")
    assert with_best_preset(plain, TRAIN, FITTING, held) is plain


def test_components_without_params_have_those_that_were_found_for_their_model() -> None:
    config = model_config_of("lambdarank-all")
    found = with_members(config, {"als": {"factors": 8}, "two-tower": {"epochs": 1}})
    members = {one["model"]: one["params"] for one in found["retrievers"]}
    assert members["als"] == {"factors": 8}
    assert members["two-tower"] == config.params["retrievers"][0]["params"]
    assert members["knn"] == {}
    assert (found["candidates"], build(config, **found).params.candidates) == (200, 200)


@pytest.mark.parametrize("composite", ["hybrid", "lambdarank"])
def test_what_was_chosen_is_fitted_again_to_all_rows(composite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: every component is to have 11 neighbours, whatever its presets say."""
    for module in ("recstage.models.hybrid", "recstage.models.lambdarank.training"):
        monkeypatch.setattr(
            f"{module}.with_best_preset",
            lambda one, *_: one.model_copy(update={"params": {"neighbors": 11}}) if one.model == "graph" else one,
        )
    model: base.Recommender
    if composite == "hybrid":
        names = ("graph", "popularity")
        segments = dict.fromkeys(("cold", "warm", "hot"), ("graph",))
        model = Hybrid(HybridParams(components=names, **segments))  # type: ignore[arg-type]
    else:
        model = LambdaRank(LambdaRankParams(retrievers=("graph", "popularity"), num_boost_round=3))  # type: ignore[arg-type]
    model.fit(TRAIN, seed=1, validation=LATER)
    again = type(model)(type(model.params)(**{**model.params.model_dump(), **model.fitted_params_}))
    again.fit(TRAIN.union(LATER), seed=1)
    assert again.parts()["graph"].params.neighbors == 11
