"""Mistakes in where the store is: one line each, and soon."""

import pytest

from recstage import tracking
from recstage.errors import ConfigError, StoreError
from recstage.tracking import addresses


@pytest.mark.parametrize(
    ("uri", "rule"),
    [
        ("file:///tmp/runs", "MLflow has given folders of files up"),
        ("/tmp/runs", "MLflow has given folders of files up"),
        ("mlruns", "MLflow has given folders of files up"),
        ("foo://bar", "'foo' is no kind of tracking store"),
    ],
)
def test_an_address_that_cannot_be_a_store_is_one_line(uri, rule):
    with pytest.raises(StoreError, match=rule):
        addresses.check_uri(uri)


@pytest.mark.parametrize("uri", ["sqlite:////a/b.db", "postgresql+psycopg://u@h/d", "http://h:5000", "databricks"])
def test_addresses_of_stores_pass(uri):
    addresses.check_uri(uri)


@pytest.mark.parametrize("uri", ["postgresql+psycopg://ann:secret@127.0.0.1:9/runs", "http://127.0.0.1:9"])
def test_what_does_not_listen_is_told_at_the_first_try_without_its_password(uri):
    with pytest.raises(StoreError) as told:
        addresses.reachable(uri)
    assert "secret" not in str(told.value)
    assert "127.0.0.1" in str(told.value)


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("MLFLOW_EXPERIMENT_NAME", " ", "an experiment has a name"),
        ("MLFLOW_EXPERIMENT_ID", "4711", "has no such experiment"),
        ("MLFLOW_RUN_ID", "0123456789abcdef0123456789abcdef", "has no such run"),
    ],
)
def test_an_experiment_or_run_that_is_not_there_is_one_line(workspace, monkeypatch, variable, value, rule):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=rule), tracking.run("a run", tags={}):
        pass


def test_a_deleted_experiment_is_one_line(workspace):
    client = tracking.connect()
    client.delete_experiment(tracking.experiment("recstage").experiment_id)
    with pytest.raises(ConfigError, match="it was deleted"):
        tracking.experiment("recstage")


def test_an_interrupted_run_is_tagged_by_itself(workspace):
    with pytest.raises(KeyboardInterrupt), tracking.run("a run", tags={}) as active:
        raise KeyboardInterrupt
    found = tracking.connect().get_run(active.info.run_id)
    assert (found.info.status, found.data.tags["ended"]) == ("KILLED", "KILLED")
