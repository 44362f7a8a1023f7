import logging

import pytest

from recstage.config import SearchRange
from recstage.errors import ConfigError
from recstage.tuning import PRUNED, search, study_name
from recstage.tuning.workers import Outcome

SPACE = {
    "x": SearchRange(low=-4, high=4),
    "n": SearchRange(low=1, high=9, integer=True),
    "c": SearchRange(choices=("a", "b")),
}


def parabola(params, number, report):
    return -((params["x"] - 1) ** 2) - abs(params["n"] - 3) - (params["c"] == "a")


def found(tmp_path, objective=parabola, space=SPACE, trials=30, **changes):
    options = {
        "seed": 0,
        "storage": tmp_path / "optuna.db",
        "identity": {"model": "m"},
        "start": {"x": 0.0},
        "metric": "v",
    }
    return search(space, objective, trials=trials, **{**options, **changes})


def test_a_search_finds_the_top_and_says_what_mattered(tmp_path):
    result = found(tmp_path)
    assert abs(result.best_params["x"] - 1) < 1
    assert result.best_params["c"] == "b"
    assert result.best_value == max(trial.value for trial in result.trials)
    assert set(result.importances) == {"x", "n", "c"}


def test_the_first_trial_tries_the_given_parameters(tmp_path):
    result = found(tmp_path, trials=1, start={"x": 0.25, "n": 5, "c": "a"})
    assert result.best_params == {"x": 0.25, "n": 5, "c": "a"}


def test_the_same_seed_finds_the_same(tmp_path):
    first, second = found(tmp_path / "1", trials=8), found(tmp_path / "2", trials=8)
    assert [t.params for t in first.trials] == [t.params for t in second.trials]


def test_an_interrupted_search_goes_on_where_it_stopped(tmp_path, caplog):
    def interrupted(params, number, report):
        if number == 3:
            raise KeyboardInterrupt
        return parabola(params, number, report)

    with pytest.raises(KeyboardInterrupt) as stopped:
        found(tmp_path, interrupted, trials=6)
    assert stopped.value.__notes__ == ["kept 3 finished trials; the same command resumes"]
    caplog.set_level(logging.INFO, "recstage")
    result = found(tmp_path, trials=6)
    assert caplog.messages[0] == "tune m: resuming at trial 4"
    assert result.resumed == 3
    assert sum(trial.state == "complete" for trial in result.trials) == 6


def test_an_error_in_a_trial_passes_on_without_words_of_optuna(tmp_path):
    def failing(params, number, report):
        raise ConfigError("data", rule="too little", fix="Give more")

    messages = []
    handler = logging.Handler(logging.INFO)
    handler.emit = messages.append
    logging.getLogger("optuna").addHandler(handler)
    try:
        with pytest.raises(ConfigError, match="too little"):
            found(tmp_path, failing, trials=2)
    finally:
        logging.getLogger("optuna").removeHandler(handler)
    assert messages == []


def test_a_search_that_is_done_is_not_done_again(tmp_path):
    found(tmp_path, trials=4)
    calls = []
    result = found(tmp_path, lambda *given: calls.append(given), trials=4)
    assert calls == []
    assert result.resumed == 4


def test_unpromising_trials_are_pruned(tmp_path):
    def learning(params, number, report):
        for step in range(1, 6):
            report(step, {"v": 1.0 if number < 6 else 0.0, "other": 9.0})
        return 1.0 if number < 6 else 0.0

    result = found(tmp_path, learning, trials=8)
    assert [trial.state for trial in result.trials[6:]] == ["pruned", "pruned"]


def test_lists_can_be_choices(tmp_path):
    space = {"layers": SearchRange(choices=([4, 2], [8]))}
    result = found(tmp_path, lambda params, *_: -len(params["layers"]), space=space, trials=4, start={})
    assert result.best_params["layers"] == [8]


def test_no_space_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the model has no search space"):
        found(tmp_path, space={})


def test_a_search_in_which_nothing_succeeds_says_so(tmp_path):
    def pruned(*given):
        raise PRUNED

    with pytest.raises(ConfigError, match="2 trials: none of them succeeded"):
        found(tmp_path, pruned, trials=2)


def test_a_second_process_on_the_same_study_is_refused(tmp_path):
    def nested(params, number, report):
        found(tmp_path, trials=1)
        return 0.0

    with pytest.raises(ConfigError, match="another process is searching it"):
        found(tmp_path, nested, trials=1)


def test_the_study_changes_with_whatever_decides_its_outcome():
    name = study_name({"model": "m", "seed": 1}, SPACE)
    assert name == study_name({"model": "m", "seed": 1}, SPACE)
    assert name != study_name({"model": "m", "seed": 2}, SPACE)
    assert name != study_name({"model": "m", "seed": 1}, {"x": SPACE["x"]})


def test_every_trial_is_a_line_on_a_pipe_a_pruned_one_too(tmp_path, caplog):
    def pruned(params, number, report):
        if number == 1:
            raise PRUNED
        return 0.25 * (number + 1)

    caplog.set_level(logging.INFO, "recstage")
    found(tmp_path, pruned, trials=3)
    lines = [line for line in caplog.messages if line.startswith("tune m: trial")]
    assert lines == [
        "tune m: trial 1 of 3, v 0.25, best 0.25",
        "tune m: trial 2 of 3, pruned",
        "tune m: trial 3 of 3, v 0.75, best 0.75",
    ]


def test_a_search_without_a_number_of_trials_goes_on_until_it_is_told_to_stop(tmp_path):
    asked = []

    def go_on():
        asked.append(1)
        return len(asked) < 4

    assert len(found(tmp_path, trials=None, go_on=go_on).trials) == 4


class Elsewhere:
    """`Workers` with two cores, whose trials end one after the other; `most` is how many were under way together."""

    cores = 2

    def __init__(self):
        self.waiting, self.most = [], 0

    def start(self, number, params):
        self.waiting.append((number, params))
        self.most = max(self.most, len(self.waiting))

    def wait(self):
        number, params = self.waiting.pop(0)
        return [Outcome(number, parabola(params, number, None))]


def test_of_a_number_of_trials_one_more_than_the_cores_is_started_for_the_core_that_is_free_next(tmp_path):
    workers = Elsewhere()
    result = found(tmp_path, workers, trials=9)
    assert [trial.number for trial in result.trials] == list(range(9))
    assert workers.most == 3


def test_within_a_time_no_trial_is_started_before_a_core_is_free(tmp_path):
    workers, ended = Elsewhere(), iter([True] * 4 + [False] * 9)
    result = found(tmp_path, workers, trials=None, go_on=lambda: next(ended))
    assert len(result.trials) == 6  # five, and the one that was under way
    assert workers.most == 2
