"""The TypeScript declarations: an interface a schema, and the paths with their parameters, bodies and answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.api_types.document import Operation, Parameter, Schema, few_values, operations_of, referred, schemas_of

HEAD = """// Types of the recstage API, written from its OpenAPI document by `make api-types`; do not edit.
"""
_PRIMITIVE = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}


def typescript(document: Mapping[str, Any]) -> str:
    """The text of the declarations."""
    parts = [HEAD]
    parts += [_declared(name, schema) for name, schema in schemas_of(document).items()]
    parts.append(_operations(operations_of(document)))
    return "\n".join(parts)


def type_of(schema: Schema) -> str:
    """The type of a schema."""
    name = referred(schema)
    if name is not None:
        return name
    if "const" in schema:
        return json.dumps(schema["const"])
    if few_values(schema):
        return " | ".join(json.dumps(value) for value in schema["enum"])
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives:
        return " | ".join(dict.fromkeys(type_of(one) for one in alternatives))
    kind = schema.get("type")
    if kind == "array":
        inside = type_of(schema["items"]) if "items" in schema else "unknown"
        return f"({inside})[]" if " | " in inside else f"{inside}[]"
    if kind == "object" and "properties" in schema:
        return "{ " + "; ".join(_member(name, one, schema) for name, one in schema["properties"].items()) + " }"
    if kind == "object":
        more = schema.get("additionalProperties", True)
        return f"Record<string, {type_of(more) if isinstance(more, dict) and more else 'unknown'}>"
    return _PRIMITIVE.get(str(kind), "unknown")


def _declared(name: str, schema: Schema) -> str:
    lines = list(_comment(schema.get("description", ""), ""))
    if schema.get("type") != "object" or "properties" not in schema:
        return "\n".join([*lines, f"export type {name} = {type_of(schema)};", ""])
    lines.append(f"export interface {name} {{")
    for field, one in schema["properties"].items():
        lines += _comment(one.get("description", ""), "  ")
        lines.append(f"  {_member(field, one, schema)};")
    return "\n".join([*lines, "}", ""])


def _member(name: str, schema: Schema, owner: Schema) -> str:
    return f"{_key(name)}{'' if name in owner.get('required', ()) else '?'}: {type_of(schema)}"


def _operations(operations: list[Operation]) -> str:
    lines = ["/** Each operation: its method, path, parameters, body and answer. */", "export interface Operations {"]
    for one in operations:
        lines += [*_comment(one.description, "  "), f"  {one.name}: {{"]
        lines += [f'    method: "{one.method.upper()}";', f"    path: {json.dumps(one.path)};"]
        for place in ("path", "query"):
            members = [_parameter(found) for found in one.parameters if found.place == place]
            lines.append(
                f"    {place}Parameters: {{ {'; '.join(members)} }};" if members else f"    {place}Parameters: {{}};"
            )
        lines.append(f"    body: {'never' if one.body is None else type_of(one.body)};")
        lines.append(f"    answer: {'void' if one.answer is None else type_of(one.answer)};")
        lines.append("  };")
    return "\n".join([*lines, "}", ""])


def _parameter(parameter: Parameter) -> str:
    return f"{_key(parameter.name)}{'' if parameter.required else '?'}: {type_of(parameter.schema)}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else json.dumps(name)


def _comment(text: str, indent: str) -> Iterator[str]:
    words = " ".join(text.split()).replace("*/", "* /")
    if words:
        yield f"{indent}/** {words} */"
