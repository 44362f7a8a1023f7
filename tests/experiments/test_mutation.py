"""The mutation run, on a repository of one module and one test: what is drawn, what is noticed, what is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.benchmarks import mutants, mutation

pytestmark = pytest.mark.integration

MODULE = '''"""Two functions, of which one is tested."""

from __future__ import annotations


def twice(x: int | None) -> int:
    return 0 if x is None else x + x


def untested(values: list[int]) -> list[int]:
    values.append(1 + 2)
    return values
'''
TEST = """from shop.prices import twice


def test_twice():
    assert (twice(None), twice(3)) == (0, 6)
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {
        "src/shop/__init__.py": "",
        "src/shop/prices.py": MODULE,
        "tests/shop/test_prices.py": TEST,
        "tests/shop/test_other.py": "def test_other():\n    assert True\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(mutation, "root", lambda: tmp_path)
    monkeypatch.setattr(mutation, "TARGETS", {"shop": ("src/shop",)})
    return tmp_path


def drawn(repository: Path, sample: int = 100, seed: int = 0) -> list[mutants.Mutant]:
    return mutants.draw(repository, {"shop": mutation.files_of("shop")}, sample, seed)


def test_a_seed_draws_the_same_mutants_and_another_seed_others(repository):
    assert drawn(repository, 5) == drawn(repository, 5)
    assert drawn(repository, 5) != drawn(repository, 5, seed=1)
    assert len(drawn(repository, 5)) == 5


def test_every_mutant_differs_from_the_source_by_the_line_it_names_and_none_is_in_a_type(repository):
    found = drawn(repository)
    assert {"LeaveOutStatement", "AddNot", "NumberReplacer"} <= {one.fault for one in found}
    for one in found:
        assert one.before != one.after
        assert MODULE.splitlines()[one.line - 1].strip() == one.before
        assert one.source.splitlines()[one.line - 1].strip() == one.after
        assert not one.before.startswith("def ")


def test_a_statement_left_out_is_a_call_and_not_a_name_that_would_be_missing(repository):
    (left_out,) = [one for one in drawn(repository) if one.fault == "LeaveOutStatement"]
    assert (left_out.before, left_out.after) == ("values.append(1 + 2)", "pass")


def test_the_nearest_tests_are_those_that_import_the_module_or_else_those_of_its_folder(repository):
    path = Path("src/shop/prices.py")
    assert mutation.nearest_tests(repository, path) == [Path("tests/shop/test_prices.py")]
    (repository / "tests/shop/test_prices.py").write_text("def test_nothing():\n    assert True\n")
    beside = [Path("tests/shop/test_other.py"), Path("tests/shop/test_prices.py")]
    assert mutation.nearest_tests(repository, path) == beside
    assert mutation.nearest_tests(repository, Path("src/elsewhere.py")) == []


def test_faults_of_what_is_tested_are_noticed_and_others_survive_and_no_file_is_changed(repository, capsys):
    assert mutation.main(["--sample", "6", "--seed", "3"]) == 0
    told = capsys.readouterr()
    results = json.loads(told.out)
    tested = {one["outcome"] for one in results if one["before"].startswith("return 0")}
    untested = {one["outcome"] for one in results if one["before"].startswith("values")}
    assert (tested, untested) == ({"killed"}, {"survived"})
    noticed = {one["noticed_by"] for one in results if one["outcome"] == "killed"}
    assert noticed == {"tests/shop/test_prices.py::test_twice"}
    assert "survived: src/shop/prices.py:11" in told.err
    assert (repository / "src/shop/prices.py").read_text() == MODULE


def test_what_is_left_when_the_time_is_up_is_not_tried(repository):
    assert {one.outcome for one in mutation.run(["shop"], 3, 0, minutes=0)} == {"out of time"}


def test_tests_that_fail_without_a_mutant_end_it_in_one_line(repository, capsys):
    (repository / "tests/shop/test_prices.py").write_text(TEST.replace("6)", "7)"))
    assert mutation.main(["--sample", "1"]) == 2
    assert "tests must pass without a mutant, and did not: tests/shop/test_prices.py::test_twice" in (
        capsys.readouterr().err
    )


def test_an_empty_sample_is_refused(capsys):
    assert mutation.main(["--sample", "0"]) == 2
    assert "recstage: --sample 0: there is one mutant at least. Give --sample 1 or more." in capsys.readouterr().err
