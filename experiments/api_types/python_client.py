"""The modules of `recstage.client` that follow from the document: answers and bodies as pydantic models, and a method
for each operation, for both clients."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.api_types.document import (
    Operation,
    Parameter,
    Schema,
    few_values,
    operations_of,
    python_name,
    referred,
    schemas_of,
)

NOTE = "Written from the OpenAPI document of the service by `make api-types`; do not edit."
_PRIMITIVE = {"string": "str", "number": "float", "integer": "int", "boolean": "bool", "null": "None"}
LINE = 112


def models(document: Mapping[str, Any]) -> str:
    """The text of `recstage/client/models.py`."""
    schemas = schemas_of(document)
    parts = [
        f'"""What the service is sent and answers, one model a schema.\n\n{NOTE}\n"""\n# ruff: noqa: E501',
        "from __future__ import annotations",
        "from datetime import datetime\nfrom typing import Any, Literal",
        "from pydantic import BaseModel, ConfigDict, Field",
        'class Model(BaseModel):\n    """Base of all: fields that a newer service adds are kept, not refused."""\n\n'
        '    model_config = ConfigDict(extra="allow", populate_by_name=True, protected_namespaces=())',
    ]
    parts += [_model(name, schema) for name, schema in schemas.items()]
    return _formatted("\n\n\n".join(parts) + "\n")


def methods(document: Mapping[str, Any], *, asynchronous: bool) -> str:
    """The text of `recstage/client/operations.py` or `async_operations.py`."""
    kind = "AsyncOperations" if asynchronous else "Operations"
    operations = operations_of(document)
    schemas = schemas_of(document)
    used = sorted({name for one in operations for name in _models_of(one, schemas)})
    title = f"A method for each operation of the service{', to be awaited' if asynchronous else ''}."
    parts = [
        f'"""{title}\n\n{NOTE}\n"""',
        "from __future__ import annotations",
        "from collections.abc import Mapping, Sequence\nfrom datetime import datetime\nfrom typing import Any, Literal",
        f"from recstage.client.calls import UNSET, Call, {'AsyncSender' if asynchronous else 'Sender'}, Unset, given\n"
        f"from recstage.client.models import {', '.join(used)}",
    ]
    text = "\n\n".join(_method(one, schemas, asynchronous=asynchronous) for one in operations)
    base = "AsyncSender" if asynchronous else "Sender"
    body = textwrap.indent(text, "    ")
    parts.append(f'class {kind}({base}):\n    """The operations, by their names in the document."""\n\n{body}')
    return _formatted("\n\n".join(parts) + "\n")


# -- models -----------------------------------------------------------------------------------------------------------


def type_of(schema: Schema) -> str:
    """The annotation of a schema."""
    name = referred(schema)
    if name is not None:
        return name
    if "const" in schema:
        return f"Literal[{schema['const']!r}]"
    if few_values(schema):
        return f"Literal[{', '.join(map(repr, schema['enum']))}]"
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives:
        return " | ".join(dict.fromkeys(type_of(one) for one in alternatives))
    kind = schema.get("type")
    if kind == "array":
        return f"list[{type_of(schema['items']) if 'items' in schema else 'Any'}]"
    if kind == "object":
        more = schema.get("additionalProperties", True)
        return f"dict[str, {type_of(more) if isinstance(more, dict) and more else 'Any'}]"
    if kind == "string" and schema.get("format") == "date-time":
        return "datetime"
    return _PRIMITIVE.get(str(kind), "Any")


def _model(name: str, schema: Schema) -> str:
    if "properties" not in schema:
        return f"{name} = {type_of(schema)}"
    lines = [f"class {name}(Model):", textwrap.indent(_docstring(schema.get("description", name)), "    "), ""]
    for field, one in schema["properties"].items():
        lines.append("    " + _field(field, one, required=field in schema.get("required", ())))
    return "\n".join(lines)


def _field(name: str, schema: Schema, *, required: bool) -> str:
    kind, options = type_of(schema), []
    if not required or "None" in kind.split(" | "):  # an older service does not send it
        default = schema.get("default")
        if default is None or isinstance(default, dict):
            kind = kind if "None" in kind.split(" | ") else f"{kind} | None"
            options.append("None")
        elif isinstance(default, list):
            options.append("default_factory=list")
        else:
            options.append(repr(default))
    safe = python_name(name)
    if safe != name:
        options.append(f"alias={name!r}")
    if schema.get("description"):
        options.append(f"description={_string(schema['description'])}")
    simple = not options or (len(options) == 1 and "=" not in options[0])
    value = (f" = {options[0]}" if options else "") if simple else f" = Field({', '.join(options)})"
    return f"{safe}: {kind}{value}"


# -- methods ----------------------------------------------------------------------------------------------------------


def _models_of(operation: Operation, schemas: Mapping[str, Schema]) -> Iterator[str]:
    for schema in (operation.answer, operation.body):
        for one in () if schema is None else _alternatives(schema):
            name = referred(one)
            if name is not None and (schema is operation.answer or _fields(operation, schemas) is None):
                yield name
    for _, one, _ in _fields(operation, schemas) or ():
        yield from _referred_within(one)


def _referred_within(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        name = referred(schema)
        if name is not None:
            yield name
        for key, value in schema.items():
            if key not in ("examples", "default", "discriminator"):
                yield from _referred_within(value)
    elif isinstance(schema, list):
        for one in schema:
            yield from _referred_within(one)


def _alternatives(schema: Schema) -> list[Schema]:
    return list(schema.get("oneOf") or schema.get("anyOf") or [schema])


def _fields(operation: Operation, schemas: Mapping[str, Schema]) -> list[tuple[str, Schema, bool]] | None:
    """The fields of a body that become arguments; None where the body is one of several schemas, or there is none."""
    if operation.body is None or len(_alternatives(operation.body)) > 1:
        return None
    schema = schemas[str(referred(operation.body))]
    required = schema.get("required", ())
    return [(name, one, name in required) for name, one in schema["properties"].items()]


def _method(operation: Operation, schemas: Mapping[str, Schema], *, asynchronous: bool) -> str:
    fields = _fields(operation, schemas)
    sent = [one for one in operation.parameters if one.place in ("path", "query")]
    arguments = [_argument(one) for one in sent if one.place == "path"]
    keywords = sorted((_argument(one) for one in sent if one.place == "query"), key=lambda text: "=" in text)
    if operation.body is not None and fields is None:
        kinds = " | ".join(type_of(one) for one in _alternatives(operation.body))
        arguments.append(f"body: {kinds} | Mapping[str, Any]")
    for name, schema, required in sorted(fields or (), key=lambda one: not one[2]):
        kind = _accepted(schema)
        nullable = "None" in kind.split(" | ")  # null is a value there: not to be sent is another
        argument = python_name(name)
        others = " | ".join(part for part in kind.split(" | ") if part != "None")
        optional = f"{argument}: {others} | Unset | None = UNSET" if nullable else f"{argument}: {kind} | None = None"
        keywords.append(f"{argument}: {kind}" if required else optional)
    if operation.keyed:
        keywords.append("idempotency_key: str | None = None")
    keywords = sorted(keywords, key=lambda text: "=" in text)
    if keywords:
        arguments += ["*", *keywords]
    answer = "None" if operation.answer is None else type_of(operation.answer)
    awaited, prefix = ("await ", "async ") if asynchronous else ("", "")
    return "\n".join(
        [
            f"{prefix}def {operation.name}({', '.join(['self', *arguments])}) -> {answer}:",
            textwrap.indent(_docstring(operation.description), "    "),
            f"    call = Call({', '.join(_call(operation, fields, sent))})",
            f"    return {awaited}self.send(call{'' if operation.answer is None else f', {answer}'})"
            if operation.answer is not None
            else f"    {awaited}self.send_only(call)",
        ]
    )


def _call(operation: Operation, fields: Any, sent: list[Parameter]) -> Iterator[str]:
    yield repr(operation.method.upper())
    yield json.dumps(operation.path)
    for place, word in (("path", "path"), ("query", "query")):
        pairs = [f"{json.dumps(one.name)}: {one.argument}" for one in sent if one.place == place]
        if pairs:
            yield f"{word}={{{', '.join(pairs)}}}"
    if operation.body is not None:
        if fields is None:
            yield "body=body"
        else:
            sending = ", ".join(f"{json.dumps(name)}: {python_name(name)}" for name, _, _ in fields)
            nullable = [name for name, schema, _ in fields if "None" in _accepted(schema).split(" | ")]
            yield f"body=given({{{sending}}}{f', nullable={nullable!r}' if nullable else ''})"
    if operation.keyed:
        yield "idempotency_key=idempotency_key, keyed=True"
    if not operation.repeatable:
        yield "repeatable=False"


def _argument(parameter: Parameter) -> str:
    kind = _accepted(parameter.schema)
    if parameter.required:
        return f"{parameter.argument}: {kind}"
    return f"{parameter.argument}: {_optional(kind)} = None"


def _accepted(schema: Schema) -> str:
    """What a method takes where `type_of` is answered: any sequence for a list."""
    text = type_of(schema)
    return f"Sequence[{text[5:-1]}]" if text.startswith("list[") and " | " not in text else text


def _optional(kind: str) -> str:
    return kind if "None" in kind.split(" | ") else f"{kind} | None"


# -- text -------------------------------------------------------------------------------------------------------------


def _docstring(text: str) -> str:
    words = " ".join(text.split()).replace("\\", "\\\\").replace('"""', "'''")
    first, *rest = textwrap.wrap(words, LINE - 8)
    if not rest:
        return f'"""{first}"""'
    return "\n".join([f'"""{first}', *rest, '"""'])


def _string(text: str) -> str:
    return json.dumps(" ".join(text.split()), ensure_ascii=False)


def _formatted(code: str) -> str:
    """The code as ruff writes it."""
    command = [sys.executable, "-m", "ruff"]
    for arguments in (["check", "--fix-only", "--select", "I,F401", "--quiet"], ["format", "--quiet"]):
        done = subprocess.run(
            [*command, *arguments, "--stdin-filename", "src/recstage/client/generated.py", "-"],
            input=code,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"what was written is no Python: {done.stderr}\n{code}")
        code = done.stdout
    return code
