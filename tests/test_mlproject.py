from recstage.config import names_in, root
from recstage.mlproject import STEPS, render


def test_the_mlproject_is_up_to_date():
    assert (root() / "MLproject").read_text() == render(), "run `make mlproject`"


def test_every_entry_point_has_its_script():
    for step in STEPS:
        assert (root() / "experiments" / f"{step}.py").is_file()


def test_every_model_is_an_entry_point():
    text = render()
    assert all(f"\n  {model}:\n" in text for model in names_in("model"))
