"""Presets, budgets and the space of a search."""

from dataclasses import replace

import mlflow
import pytest

from recstage import tracking
from recstage.config import ModelConfig, SearchRange, model_config_of, names_in
from recstage.config.steps import AUTO
from recstage.errors import ConfigError
from recstage.evaluation.trial import REPORTED_METRIC
from recstage.models import build
from recstage.models.ncf import Ncf
from recstage.steps import train
from recstage.steps.parameter_search import Budget, candidates, space_for
from tests.models.synthetic_blocks import blocks

MODEL = ModelConfig(
    name="als",
    target="recstage.models.factorization.als:ALS",
    params={"factors": 8, "alpha": 5.0},
    presets={
        "narrow": {"params": {"factors": 4}},
        "loose": {"kinds": ["unordered"], "params": {"alpha": 50.0}},
        "paper": {"by_name": True, "params": {"alpha": 1.0}},
    },
)
QUICK = ["--evaluation.bootstrap=100", "--evaluation.latency_requests=0"]
PRESETS = ['--model.presets={"poor": {"params": {"factors": 1, "iterations": 1}}}']


def test_auto_tries_the_default_and_what_suits_the_data():
    assert list(candidates(MODEL, "dense", AUTO)) == ["default", "narrow"]
    found = candidates(MODEL, "unordered", AUTO)
    assert found == {
        "default": {"factors": 8, "alpha": 5.0},
        "narrow": {"factors": 4, "alpha": 5.0},
        "loose": {"factors": 8, "alpha": 50.0},
    }


def test_a_preset_is_chosen_by_its_name_whatever_the_data():
    assert candidates(MODEL, "dense", "loose") == {"loose": {"factors": 8, "alpha": 50.0}}
    assert candidates(MODEL, "dense", "paper") == {"paper": {"factors": 8, "alpha": 1.0}}
    assert candidates(MODEL, "dense", "default") == {"default": {"factors": 8, "alpha": 5.0}}
    with pytest.raises(ConfigError, match="preset = lose: als has no such preset. Did you mean 'loose'"):
        candidates(MODEL, "dense", "lose")


def test_every_preset_of_conf_model_fits_the_model():
    for name in names_in("model"):
        config = model_config_of(name)
        for preset in config.presets:
            build(config, **candidates(config, "dense", preset)[preset])


def test_a_space_is_cut_to_what_the_data_can_carry():
    rows = blocks()
    space = {
        "factors": SearchRange(low=32, high=256, step=32, integer=True),
        "neighbors": SearchRange(low=5, high=10, integer=True),
        "recency_decay": SearchRange(low=0.0, high=2.0),
    }
    assert space_for(space, rows) == {
        **space,
        "factors": SearchRange(low=20, high=20, integer=True),  # half of the 40 items
    }
    assert "recency_decay" not in space_for(space, replace(rows, ordered=False))


def test_a_budget_keeps_time_for_one_more_fit_and_the_final_one():
    budget = Budget(100.0)
    assert budget.allows()
    budget.spent(49.0)
    assert budget.allows()
    budget.spent(51.0)
    assert not budget.allows()
    assert Budget(0.0, longest=1e9).allows()


@pytest.mark.slow
def test_the_best_preset_by_validation_is_trained(tiny, client, caplog):
    caplog.set_level("INFO", "recstage")
    settings = train.settings_from("als", tiny, [*QUICK, *PRESETS])
    result = train.run(settings)
    run = client.get_run(result.run_id)
    tried = mlflow.search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{result.run_id}'", output_format="list"
    )
    values = {
        one.info.run_name.split(" · ")[0].removeprefix("preset "): one.data.metrics["validation_ndcg_at_10"]
        for one in tried
    }
    assert sorted(values) == ["default", "poor", "tastes"]
    best = max(values, key=values.__getitem__)
    assert best != "poor"
    assert run.data.tags["preset"] == best
    gain = tracking.metrics_of(run)["preset_gain"]
    assert gain == pytest.approx(values[best] - values["default"])
    assert f"als: preset {best}, by NDCG@10 on validation: default ." in caplog.text


def test_parameters_that_were_named_are_not_replaced_by_a_preset(tiny):
    assert train.settings_from("als", tiny, ["--model.params.factors=8"]).preset == "default"
    assert train.settings_from("als", tiny, ["--model.params.factors=8", "--preset", "wide"]).preset == "wide"
    assert train.settings_from("als", tiny).preset == AUTO


def test_null_takes_a_parameter_out_of_a_search(tiny):
    configured = model_config_of("als").search
    words = ["--model.search.iterations=null", '--model.search.alpha={"high": 9.0}']
    chosen = train.settings_from("als", tiny, words).model.search
    assert chosen.keys() == configured.keys() - {"iterations"}
    assert (chosen["alpha"].low, chosen["alpha"].high) == (configured["alpha"].low, 9.0)
    with pytest.raises(ConfigError, match=r"model.search.alpa = null: null takes .* Did you mean 'alpha'\?"):
        train.settings_from("als", tiny, ["--model.search.alpa=null"])


@pytest.mark.slow
def test_a_budget_searches_until_it_is_spent_and_a_small_one_is_told(tiny, client, caplog):
    settings = train.settings_from("als", tiny, [*QUICK, "--budget", "1h", "--trials", "2", "--preset", "default"])
    result = train.run(settings)
    assert len(mlflow.artifacts.load_text(f"runs:/{result.run_id}/trials.csv").splitlines()) == 3
    small = train.settings_from("als", tiny, [*QUICK, "--budget", "0.01s", *PRESETS])
    run = client.get_run(train.run(small).run_id)
    assert run.data.tags["preset"] == "default"
    assert "als: preset poor was not tried: the budget ends" in caplog.text
    assert "als: budget of 0 s: one fit takes" in caplog.text


@pytest.mark.slow
def test_a_budget_that_is_no_time_and_one_without_a_space_are_refused(tiny):
    with pytest.raises(ConfigError, match="budget.*'soon' is no time: write a number and s, m or h"):
        train.settings_from("als", tiny, ["--budget", "soon"])
    with pytest.raises(ConfigError, match="budget: the model popularity has no search space"):
        train.run(train.settings_from("popularity", tiny, ["--budget", "5s"]))


@pytest.mark.slow
def test_a_model_of_too_many_epochs_ends_within_the_budget_and_is_whole(tiny, client, caplog):
    long = ["--budget", "4s", "--model.params.epochs", "100000", "--model.params.factors", "8"]
    settings = train.settings_from("two-tower", tiny, [*QUICK, *long])
    run = client.get_run(train.run(settings).run_id)
    assert "two-tower: budget of 4 s: one fit takes" in caplog.text
    assert 0 < float(run.data.metrics["ndcg_at_10"]) <= 1
    (probe,) = mlflow.search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'", output_format="list"
    )
    assert probe.info.run_name.startswith("first epoch · two-tower")


def test_no_parameters_are_fitted_twice_to_the_training_rows(tiny, client, monkeypatch):
    fitted = []
    fit = Ncf._fit
    monkeypatch.setattr(Ncf, "_fit", lambda self, *given: (fitted.append(self.params), fit(self, *given)))
    few = ["--model.params.epochs", "3", "--model.params.patience", "2", "--trials", "1"]
    result = train.run(train.settings_from("ncf", tiny, [*QUICK, *few]))
    trial, refit = fitted
    assert refit.factors == trial.factors
    assert refit.patience == 0 or refit.epochs <= trial.epochs
    run = client.get_run(result.run_id)
    (nested,) = mlflow.search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{result.run_id}'", output_format="list"
    )
    reported = [one.value for one in client.get_metric_history(nested.info.run_id, REPORTED_METRIC)]
    curve = client.get_metric_history(result.run_id, tracking.in_training(REPORTED_METRIC))
    assert [one.value for one in curve] == reported[: len(curve)]
    assert len(curve) in {2, 3}
