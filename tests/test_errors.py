"""The error tree: which exit status each kind has, and what counts as the user's input."""

from __future__ import annotations

import pickle

import pytest

from recstage import errors
from recstage.cli import main

STATUSES = {
    errors.ConfigError: 2,
    errors.DataError: 2,
    errors.TooLittleData: 2,
    errors.BundleError: 2,
    errors.RegistryError: 2,
    errors.NoProduction: 2,
    errors.StoreError: 2,
    errors.ExternalToolError: 1,
    errors.GateRefused: 3,
}


def raising(error):
    def step(arguments):
        raise error

    return step


@pytest.mark.parametrize(("kind", "status"), STATUSES.items(), ids=lambda value: getattr(value, "__name__", str(value)))
def test_each_kind_ends_with_its_status_and_one_line(capsys, kind, status):
    assert main(raising(kind("what was given", rule="the rule", fix="The fix")), []) == status
    assert capsys.readouterr().err.splitlines() == ["recstage: what was given: the rule. The fix."]


@pytest.mark.parametrize("kind", [errors.StoreError, errors.ExternalToolError])
def test_a_full_disk_or_a_failed_program_is_not_the_users_input(kind):
    assert not issubclass(kind, errors.InputError)


@pytest.mark.parametrize("kind", STATUSES)
def test_an_error_survives_the_way_between_two_processes(kind):
    error = pickle.loads(pickle.dumps(kind("a", rule="b", fix="c")))
    assert (type(error), error.given, error.rule, error.fix) == (kind, "a", "b", "c")


def test_the_tree_in_the_docstring_names_every_kind():
    named = errors.__doc__
    for kind in (*STATUSES, errors.InputError):
        assert f"── {kind.__name__} " in named
