"""A smaller NCF: distilled from a registered version or pruned, and what the run tells of it."""

from __future__ import annotations

import pytest

from recstage import tracking
from recstage.errors import ConfigError, RegistryError
from recstage.steps import train

pytestmark = pytest.mark.integration
QUICK = ["--evaluation.bootstrap=100", "--evaluation.latency_requests=0", "--model.params.epochs=4"]


def trained(tiny, model, *arguments, **overrides):
    return train.run(train.settings_from(model, tiny, [*QUICK, *arguments], overrides))


@pytest.fixture
def teacher(tiny, workspace):
    """A registered version of ncf."""
    return trained(tiny, "ncf", "--model.params.factors=32", register=True).version


def test_a_distilled_model_tells_size_latency_and_loss_against_its_teacher(tiny, teacher, client):
    result = trained(tiny, "ncf", "--model.params.factors=4", f"--distill_from=recommender/{teacher}")

    table = tracking.table_of(result.run_id, "reduction").set_index("model")
    assert table.loc["smaller", "ndcg_at_10"] == pytest.approx(result.metrics["ndcg_at_10"])
    assert table.loc["smaller", "weights_bytes"] < 0.2 * table.loc["larger", "weights_bytes"]
    assert (table["list_p95_ms"] > 0).all()
    run = client.get_run(result.run_id)
    assert run.data.params["distill_from"] == f"recommender/{teacher}"
    told = run.data.tags["reduction"]
    assert told.startswith(f"NDCG@10 {table.loc['smaller', 'ndcg_at_10']:.4f} where the larger model has")
    assert "MB of weights instead of" in told


def test_a_pruned_model_tells_its_loss_against_itself_before(tiny, client):
    result = trained(tiny, "ncf", "--model.params.factors=32", "--model.params.prune=0.5")
    table = tracking.table_of(result.run_id, "reduction").set_index("model")
    ratio = table.loc["smaller", "weights_bytes"] / table.loc["larger", "weights_bytes"]
    assert ratio == pytest.approx(0.54, abs=0.03)


@pytest.mark.parametrize(
    ("model", "data", "given", "message"),
    [
        ("als", "tiny", "recommender/1", "als learns from no other model"),
        ("ncf", "tiny", "recommender", "a version is named NAME/NUMBER"),
        ("ncf", "other", "recommender/1", "it may know what is tested here"),
    ],
)
def test_what_cannot_teach_is_refused(tiny, teacher, model, data, given, message):
    words = [f"--distill_from={given}", *(["--data.split.method=ratio"] if data == "other" else [])]
    with pytest.raises(ConfigError) as found:
        train.run(train.settings_from(model, tiny, [*QUICK[:2], *words]))
    assert message in str(found.value)


def test_only_a_version_of_ncf_teaches(tiny, workspace):
    version = train.run(train.settings_from("popularity", tiny, QUICK[:2], {"register": True})).version
    with pytest.raises(ConfigError, match="it is of popularity, and ncf learns from the scores of ncf alone"):
        trained(tiny, "ncf", f"--distill_from=recommender/{version}")
    with pytest.raises(RegistryError):
        trained(tiny, "ncf", "--distill_from=recommender/77")
