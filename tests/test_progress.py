"""Progress: lines on a pipe, a bar that stays on a terminal."""

import io
import logging
import sys

import pytest

from recstage import progress as module
from recstage.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def on_a_terminal(monkeypatch):
    """Call it within the test: pytest sets stderr anew between a fixture and the test."""

    def start():
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        return screen

    return start


def test_a_pipe_gets_a_line_a_step(caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", sys)  # who imported it is no kernel yet
    caplog.set_level(logging.INFO, "recstage")
    with progress("fit m", 2, "epoch") as shown:
        shown.advance({"loss": 0.5})
        shown.advance({"loss": 0.25}, words="saved")
    assert caplog.messages == ["fit m: epoch 1 of 2, loss 0.5", "fit m: epoch 2 of 2, loss 0.25, saved"]


def test_a_terminal_has_a_bar_from_the_start_which_stays(on_a_terminal):
    terminal = on_a_terminal()
    with progress("tune m", 2, "trial", at_once=True) as shown:
        assert "tune m:   0%" in terminal.getvalue()
        shown.advance({"ndcg_at_10": 0.125})
        shown.advance({"ndcg_at_10": 0.25})
    last = terminal.getvalue().rsplit("\r", 1)[-1]
    assert "2/2" in last
    assert "ndcg_at_10 0.25" in last
    assert last.endswith("\n")


def test_the_bar_of_a_part_goes_and_that_of_the_whole_stays(on_a_terminal):
    terminal = on_a_terminal()
    with progress("tune m", 1, "trial", at_once=True):
        with progress("m trial 1", 5, "epoch", within=True, at_once=True) as part:
            part.advance({})
        assert "m trial 1:   0%" in terminal.getvalue()
    lines = terminal.getvalue().split("\r")
    assert lines[-1].startswith("tune m:")
    assert not lines[-2].replace("\x1b[A", "").strip(), "the part was wiped out"


def test_a_resumed_thing_says_where_it_goes_on(on_a_terminal):
    terminal = on_a_terminal()
    with progress("fit m", 5, "epoch", at_once=True) as shown:
        shown.resume(2)
    assert "fit m: resuming at epoch 3" in terminal.getvalue()


def test_a_notebook_gets_a_line_of_what_takes_long_which_goes_where_it_was_a_part(monkeypatch):
    shown: list[str] = []

    class Line:
        def update(self, data, raw):
            shown.append(data["text/plain"])

    def display(data, **how):
        shown.append(data["text/plain"])
        return Line()

    monkeypatch.setattr(module, "in_a_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    with progress("quick", 1, "epoch") as quick:
        quick.advance({})
    assert shown == []
    monkeypatch.setattr(module, "QUIET_SECONDS", 0)
    with progress("m trial 1", 2, "epoch", within=True) as part:
        part.advance({}, 1)
        part.advance({}, 2)
    assert shown == ["m trial 1: epoch 1 of 2", "m trial 1: epoch 2 of 2", ""]
