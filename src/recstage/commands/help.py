"""Help that lists the settings of a step under the options of its subcommand, from the schemas themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.core import TyperCommand

from recstage.config import model_config_of, names_in
from recstage.config.resolve import options_of


def with_settings(schema: type[BaseModel]) -> type[TyperCommand]:
    """A class of command whose help ends with the settings of `schema`; those of a model where one is named."""

    class WithSettings(TyperCommand):
        # Typer brings a Click of its own, whose types it does not show
        def format_epilog(self, ctx: Any, formatter: Any) -> None:
            super().format_epilog(ctx, formatter)
            words = getattr(ctx.find_root().obj, "words", [])
            model = next((word for word in words if word in names_in("model")), None)
            rows = {name: _about(info) for name, info in options_of(schema) if not name.startswith("model.params")}
            if model is not None and any(name.startswith("model.") for name in rows):
                rows |= {f"model.params.{name}": text for name, text in _params_of(model)}
            with formatter.section("Settings, as --NAME VALUE"):
                formatter.write_dl([(f"--{name}", text or " ") for name, text in rows.items()])

    return WithSettings


def _params_of(model: str) -> Iterator[tuple[str, str]]:
    from recstage.models import params_class

    for name, info in options_of(params_class(model_config_of(model))):
        yield name, _about(info)


def _about(info: FieldInfo) -> str:
    said = info.description or ""
    default: Any = info.default
    if default is PydanticUndefined or default is None or isinstance(default, BaseModel):
        return said
    return f"{said}  [{default}]".strip()
