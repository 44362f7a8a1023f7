"""The settings of a step as options of its subcommand, from the schemas themselves: its help lists them, and what is
none of them is refused before the step is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.core import TyperCommand

from recstage.commands.calls import check_options
from recstage.config import model_config_of, names_in
from recstage.config.resolve import options_of


def with_settings(schema: type[BaseModel] | Callable[[], type[BaseModel]]) -> type[TyperCommand]:
    """A class of command whose help ends with the settings of `schema` (or of what it returns, where that is slow to
    import) and that refuses other options; those of a model where one is named."""

    def known() -> type[BaseModel]:
        return schema if isinstance(schema, type) else schema()

    class WithSettings(TyperCommand):
        # Typer brings a Click of its own, whose types it does not show
        def invoke(self, ctx: Any) -> Any:
            first = [ctx.params[one.name] for one in self.params if one.param_type_name == "argument"]
            check_options(known(), [*map(str, first), *ctx.args], _further_names(ctx, known()))
            return super().invoke(ctx)

        def format_epilog(self, ctx: Any, formatter: Any) -> None:
            super().format_epilog(ctx, formatter)
            rows = {name: _about(info) for name, info in options_of(known()) if not name.startswith("model.params")}
            rows |= {f"model.params.{name}": text for name, text in _params_of(_model_of(ctx, known()))}
            with formatter.section("Settings, as --NAME VALUE"):
                formatter.write_dl([(f"--{name}", text or " ") for name, text in rows.items()])

    return WithSettings


def options_in(ctx: Any) -> Iterator[str]:
    """The options of a subcommand and of all subcommands, with their dashes."""
    yield from ctx.help_option_names
    while ctx is not None:
        yield from (name for one in ctx.command.params if one.param_type_name == "option" for name in one.opts)
        ctx = ctx.parent


def _further_names(ctx: Any, schema: type[BaseModel]) -> Iterator[str]:
    """What else may have been meant on this command line, without dashes; read where an option is wrong."""
    yield from (name.removeprefix("--") for name in options_in(ctx) if name.startswith("--"))
    yield from (f"model.params.{name}" for name, _ in _params_of(_model_of(ctx, schema)))


def _model_of(ctx: Any, schema: type[BaseModel]) -> str | None:
    """The model that the command line names, where `schema` has parameters of one."""
    words = getattr(ctx.find_root().obj, "words", [])
    has_params = any(name.startswith("model.params") for name, _ in options_of(schema))
    return next((word for word in words if has_params and word in names_in("model")), None)


def _params_of(model: str | None) -> Iterator[tuple[str, str]]:
    if model is None:
        return
    from recstage.models import params_class

    for name, info in options_of(params_class(model_config_of(model))):
        yield name, _about(info)


def _about(info: FieldInfo) -> str:
    said = info.description or ""
    default: Any = info.default
    if default is PydanticUndefined or default is None or isinstance(default, BaseModel):
        return said
    return f"{said}  [{default}]".strip()
