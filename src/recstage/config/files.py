"""Where the repository is, and the YAML files of its `conf` folder."""

from __future__ import annotations

import os
import stat
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from recstage.config.resolve import check
from recstage.config.schemas import DataConfig, ModelConfig
from recstage.errors import ConfigError, valid_names


@cache
def root() -> Path:
    """The repository: `RECSTAGE_HOME` where set, else the nearest folder above this package, or above the current
    folder, that holds `MLproject` and `conf`. Raises `ConfigError` where there is none."""
    named = os.environ.get("RECSTAGE_HOME")
    starts = [Path(named)] if named else [*Path(__file__).resolve().parents, Path.cwd(), *Path.cwd().parents]
    for folder in starts:
        if (folder / "MLproject").is_file() and (folder / "conf").is_dir():
            return folder.resolve()
    raise ConfigError(
        named or "the current folder",
        rule="recstage works inside its repository (a folder with MLproject and conf)",
        fix="Change to it, or set RECSTAGE_HOME to it",
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping. Raises `ConfigError` on a missing or malformed file."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(str(path), rule=f"cannot be read ({error.strerror})", fix="Give an existing file") from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path}: line {line}", rule="a configuration is written in UTF-8", fix="Save the file as UTF-8"
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(str(path), rule=f"is not YAML ({error})", fix="Mend the file") from error
    if not isinstance(values, dict):
        raise ConfigError(str(path), rule="a configuration is a mapping of names to values", fix="Mend the file")
    return values


def keep_private(path: Path) -> None:
    """Take the permissions of other accounts away from a file, or from a folder and all that is in it: models and
    checkpoints tell what users chose. Those of the group stay, so that a service may run under another account."""
    for one in (path, *path.rglob("*")):
        one.chmod(stat.S_IMODE(one.stat().st_mode) & ~stat.S_IRWXO)


def names_in(folder: str) -> list[str]:
    """Names of the YAML files in conf/`folder`."""
    return sorted(path.stem for path in (root() / "conf" / folder).glob("*.yaml"))


def named_yaml(folder: str, name: str) -> dict[str, Any]:
    """conf/`folder`/`name`.yaml with its name. Raises `ConfigError` listing the valid names."""
    if name not in names_in(folder):
        raise ConfigError(
            f"{folder} '{name}'", rule=f"conf/{folder} has no such file", fix=valid_names(name, names_in(folder))
        )
    return {"name": name, **read_yaml(root() / "conf" / folder / f"{name}.yaml")}


def model_config_of(name: str) -> ModelConfig:
    """conf/model/`name`.yaml; a `search` that is a name stands for the search space of that model. Raises `ConfigError`
    listing the valid names."""
    values = named_yaml("model", name)
    if isinstance(values.get("search"), str):
        values["search"] = _search_space(values["search"], name)
    return check(ModelConfig, values, f"conf/model/{name}.yaml")


def _search_space(of: str, name: str) -> Any:
    space = named_yaml("model", of).get("search", {})
    if isinstance(space, str):
        raise ConfigError(
            f"conf/model/{name}.yaml: search: {of}",
            rule=f"conf/model/{of}.yaml names another model's search space itself",
            fix="Name a model that lists its own",
        )
    return space


def with_whole_paths(data: DataConfig) -> DataConfig:
    """The same data set with absolute paths, so that what a run logs can be read from any folder. A relative path is
    looked for in the current folder, then in the repository; one with `${NAME}` and a URL stay as they are."""
    found = {
        name: str(_whole(value))
        for name, value in data.source
        if name.endswith("path") and isinstance(value, str) and "${" not in value and "://" not in value
    }
    return data.model_copy(update={"source": data.source.model_copy(update=found)}) if found else data


def _whole(path: str) -> Path:
    here = Path(path).expanduser()
    inside = root() / here
    return (inside if not here.exists() and inside.exists() else here).absolute()
