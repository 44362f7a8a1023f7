import pytest
from pydantic import Field

from recstage import config
from recstage.config import ModelConfig, Schema, SearchRange, Settings, check, model_config_of, read_yaml, resolve, root
from recstage.errors import ConfigError
from recstage.steps import prepare


class Inner(Schema):
    factors: int = Field(64, ge=1)
    rate: float = 0.1


class Outer(Settings):
    inner: Inner = Inner()
    trials: int = 0


def test_the_command_line_wins_over_the_environment_and_that_over_the_yaml(monkeypatch):
    monkeypatch.setenv("RECSTAGE_INNER__FACTORS", "7")
    monkeypatch.setenv("RECSTAGE_TRIALS", "3")
    found = resolve(Outer, {"inner": {"factors": 5, "rate": 0.5}, "trials": 1}, ["--inner.factors", "9"])
    assert (found.inner.factors, found.trials, found.inner.rate) == (9, 3, 0.5)


def test_a_misspelt_override_is_refused_with_the_valid_names():
    with pytest.raises(
        ConfigError, match=r"--inner.factrs: no such setting. Did you mean 'inner.factors'\? Valid names:"
    ):
        resolve(Outer, {}, ["--inner.factrs", "9"])


def test_a_misspelt_environment_variable_is_refused_with_the_valid_names(monkeypatch):
    monkeypatch.setenv("RECSTAGE_INNER__FACTRS", "7")
    with pytest.raises(
        ConfigError, match=r"inner.factrs: no such setting. Did you mean 'factors'\? Valid names: factors, rate"
    ):
        resolve(Outer, {})


def test_a_value_of_the_wrong_type_is_named_with_what_was_given():
    with pytest.raises(ConfigError, match=r"inner.factors = 'many': Input should be a valid integer"):
        resolve(Outer, {}, ["--inner.factors", "many"])


def test_a_value_out_of_range_is_named():
    with pytest.raises(ConfigError, match="inner.factors = '0': Input should be greater than or equal to 1"):
        resolve(Outer, {}, ["--inner.factors", "0"])


def test_an_unknown_model_is_refused_with_the_valid_names():
    with pytest.raises(ConfigError, match=r"model 'alz': conf/model has no such file. .*Valid names: .*als"):
        model_config_of("alz")


@pytest.mark.parametrize("name", config.names_in("model"))
def test_every_model_yaml_names_a_model_and_searches_only_its_hyperparameters(name):
    from recstage.models import params_class

    found = model_config_of(name)
    schema = params_class(found)
    schema(**found.params)
    assert set(found.search) <= set(schema.model_fields)
    assert all(field.description for field in schema.model_fields.values()), "every hyperparameter is described"


def test_a_search_that_is_a_name_stands_for_that_models_search_space():
    assert read_yaml(root() / "conf" / "model" / "lambdarank-all.yaml")["search"] == "lambdarank"
    assert model_config_of("lambdarank-all").search == model_config_of("lambdarank").search != {}


def test_a_search_space_of_an_unknown_model_or_of_one_that_has_none_of_its_own_is_refused(tmp_path, monkeypatch):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "MLproject").touch()
    for name, of in (("first", "second"), ("second", "third"), ("lost", "nobody")):
        (tmp_path / "conf" / "model" / f"{name}.yaml").write_text(f"search: {of}")
    monkeypatch.setenv("RECSTAGE_HOME", str(tmp_path))
    root.cache_clear()
    try:
        with pytest.raises(ConfigError, match="first.yaml: search: second: .* names another model's search space"):
            model_config_of("first")
        with pytest.raises(ConfigError, match="model 'nobody': conf/model has no such file"):
            model_config_of("lost")
    finally:
        root.cache_clear()


def test_a_target_outside_the_models_is_refused():
    with pytest.raises(ConfigError, match="target = 'os:system'"):
        check(ModelConfig, {"name": "x", "target": "os:system"}, "x.yaml")


def test_a_search_range_needs_bounds_or_choices():
    with pytest.raises(ConfigError, match="give low and high, or choices"):
        check(SearchRange, {"low": 1}, "x.yaml")


def test_a_missing_and_a_broken_yaml_are_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="is not YAML"):
        read_yaml(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="a configuration is a mapping"):
        read_yaml(tmp_path / "list.yaml")


def test_the_root_is_found_from_the_package_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root.cache_clear()
    assert (root() / "MLproject").is_file()


def test_a_home_that_is_no_repository_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RECSTAGE_HOME", str(tmp_path))
    root.cache_clear()
    try:
        with pytest.raises(ConfigError, match="recstage works inside its repository"):
            root()
    finally:
        root.cache_clear()


class Reading(Settings):
    data: config.DataConfig


@pytest.mark.parametrize(
    "arguments", [["--strict"], ["--strict", "true"], ["--strict=true"], ["--data.strict", "true"]]
)
def test_strict_is_short_for_that_of_the_data_set(arguments):
    data = {"name": "d", "source": {"kind": "synthetic"}}
    assert resolve(Reading, {"data": data}, [*arguments, "--data.aggregate", "max"]).data.strict
    assert not resolve(Reading, {"data": data}, ["--strict", "false"]).data.strict


def test_strict_is_no_setting_where_no_data_is_read():
    with pytest.raises(ConfigError, match="--strict: no such setting"):
        resolve(Outer, {}, ["--strict"])


class Mapped(Settings):
    weights: dict[str, float | Inner] = {}
    columns: dict[str, str] = {}
    inner: Inner = Inner()


def test_fields_of_maps_are_overrides_beside_those_of_the_yaml():
    found = resolve(
        Mapped,
        {"weights": {"view": 0.1, "buy": 1.0}, "columns": {"item_id": "sku"}},
        ["--columns.user_id=007", "--weights.view", "0.2", "--weights.rate.rate=0.5", "--inner.factors=3"],
    )
    assert found.columns == {"item_id": "sku", "user_id": "007"}
    assert found.weights == {"view": 0.2, "buy": 1.0, "rate": Inner(rate=0.5)}
    assert found.inner.factors == 3


def test_a_field_of_a_map_without_a_value_is_refused():
    with pytest.raises(ConfigError, match=r"weights\.view"):
        resolve(Mapped, {}, ["--weights.view"])


def test_valid_names_are_listed_once_each():
    with pytest.raises(ConfigError, match=r"Did you mean 'data.source.items_path'\? --help lists all [0-9]+\."):
        prepare.settings_from(["--data.source.item_path=x"])
    with pytest.raises(ConfigError) as caught:
        prepare.settings_from(["--qqqq=x"])
    names = str(caught.value).partition("Valid names: ")[2].rstrip(".").split(", ")
    assert len(names) == len(set(names))
    assert "data.source.items_path" in names
    assert "data.source.columns.NAME" in names


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_numbers_of_a_configuration_are_finite(value):
    with pytest.raises(ConfigError, match="finite number"):
        check(Inner, {"rate": value}, "x")


@pytest.mark.parametrize("content", ["name: caf\xe9\n".encode("latin-1"), "a: 1\nname: \xff\n".encode("latin-1")])
def test_a_yaml_file_that_is_not_utf_8_is_refused_by_its_line(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(
        ConfigError, match=rf"mine\.yaml: line {content.count(10)}: a configuration is written in UTF-8"
    ):
        read_yaml(path)
