"""The schemas of the OpenAPI document: those of msgspec's structs, and those that FastAPI finds for parameters."""

import inspect
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from hannun.web.contract import Json
from hannun.web.problem_codes import CODES

_REFERENCE = "#/components/schemas/{name}"


def schema_of(shape: type | Json, structs: set[type]) -> Json:
    """A reference to a struct, which is added to `structs`, the components of the document; a schema unchanged."""
    if isinstance(shape, dict):
        return shape
    structs.add(shape)
    return reference_to(shape.__name__)


def reference_to(name: str) -> Json:
    """A reference to a schema among the components."""
    return {"$ref": _REFERENCE.format(name=name)}


def component_schemas(structs: set[type], received: set[type], parameter_schemas: Json) -> Json:
    """The schemas of structs and of the types of parameters, by name in alphabetical order.

    Args:
        structs: those of responses. Fields with a default are required, since a response always has them.
        received: those of request bodies, which may omit such fields.
    """
    schemas = {
        **{name: simplified(schema) for name, schema in parameter_schemas.items()},
        **_struct_schemas(structs | received, {struct.__name__ for struct in received} | {"Problem"}),
    }
    _describe_problems(schemas)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return dict(sorted(schemas.items()))


def _struct_schemas(structs: Iterable[type], may_omit: Collection[str]) -> Json:
    ordered = sorted(structs, key=lambda struct: struct.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template=_REFERENCE)
    simple = {name: simplified(schema) for name, schema in schemas.items()}
    return {name: each if name in may_omit else _with_defaults_required(each) for name, each in simple.items()}


def simplified(schema: Any) -> Any:
    """A schema for readers: descriptions without indentation, and `number` instead of `integer` or `number`."""
    if isinstance(schema, list):
        return [simplified(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {name: simplified(value) for name, value in schema.items()}
    if isinstance(result.get("description"), str):
        result["description"] = inspect.cleandoc(result["description"])
    if "anyOf" in result:
        choices = [choice for choice in result["anyOf"] if not _is_integer_besides_number(choice, result["anyOf"])]
        if len(choices) == 1:
            result |= choices[0]
            del result["anyOf"]
        else:
            result["anyOf"] = choices
    return result


def _is_integer_besides_number(schema: Json, choices: list[Json]) -> bool:
    return schema.get("type") == "integer" and {**schema, "type": "number"} in choices


def _with_defaults_required(schema: Json) -> Json:
    """Marks fields with a default as required."""
    properties: Json = schema.get("properties", {})
    always = [name for name, field in properties.items() if name in schema.get("required", ()) or "default" in field]
    for field in properties.values():
        field.pop("default", None)
    return {**schema, "required": always} if always else schema


"""The structs of request bodies: a field with a default may be omitted."""


def _describe_problems(schemas: Json) -> None:
    problem = schemas["Problem"]["properties"]
    problem["code"] |= {"enum": sorted(CODES), "description": "Stable, for programs."}
    problem["type"] |= {"format": "uri", "description": "`urn:hannun:problem:` and the code."}
    problem["instance"]["description"] = "The path of the request."
    for name in ("detail", "field"):  # omitted where they are None
        problem[name] = {"type": "string"}
