import re

from recstage.config import names_in, root
from recstage.mlproject import MODULES, STEPS, render


def test_the_mlproject_is_up_to_date():
    assert (root() / "MLproject").read_text() == render(), "run `make mlproject`"


def test_every_entry_point_has_its_script():
    for step in STEPS:
        assert (root() / "experiments" / f"{step}.py").is_file()


def test_the_module_behind_an_entry_point_is_the_one_of_its_script():
    for step in STEPS:
        script = (root() / "experiments" / f"{step}.py").read_text()
        named = re.search(r'step_of\("recstage\.steps\.([a-z_.]+)"\)', script)
        assert MODULES.get(step) == (None if named is None else named[1]), step
    assert MODULES.keys() <= STEPS.keys()


def test_every_model_is_an_entry_point():
    text = render()
    assert all(f"\n  {model}:\n" in text for model in names_in("model"))
