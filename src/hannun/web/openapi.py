"""The OpenAPI 3.1 document: paths and parameters as FastAPI finds them, answers from the structs they are made of.

routes ─► FastAPI ─► paths, parameters ─┐
@answers_with ─────► answers, refusals ─┼─► the document ─► /openapi.json, docs/openapi.json
structs ─► msgspec ─► schemas ──────────┘
"""

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from hannun.web.auth import COOKIE
from hannun.web.contract import PROMISES, Promise
from hannun.web.problems import CODES, Problem, in_camel_case

Json = dict[str, Any]
_SCHEMAS = "#/components/schemas/{name}"
_METHODS = ("get", "post", "delete", "put", "patch")
_TAGS = {
    "events": "One event: how it is doing.",
    "merchants": "All of a merchant's events together.",
    "links": "Links that open one event to others, read-only.",
    "messages": "Sending messages over HTTP.",
    "session": "The page's sign-in.",
}
_DESCRIPTION = """\
How a promotional event is doing, on every channel, in numbers that can be proven.

Rates and ROI are percent with two decimals, null where there is nothing to divide by. Money is won. `x-unit` says it of
each figure, and `provenance` in the answers what a figure is. Names stay; more may stand beside them.

A link's cookie (`openShare`) opens the views of its event too. It is no sign-in: one that opens nothing is told 404,
as if the event had never been.

Errors are problem details (RFC 9457) with a stable `code`, in Korean or English by `Accept-Language`. Beside those of
each operation: 404 `no-such-path`, 405 `method-not-allowed`, and 500 `internal`, which is a mistake of ours.
"""
_MEANINGS = {
    200: "What was asked for",
    201: "Made",
    204: "Done",
    304: "It is still what `If-None-Match` names",
    400: "It cannot be answered as asked",
    401: "No token that holds",
    403: "A right is missing",
    404: "Nothing there that the caller may see",
    409: "It does not go together with what is there",
    413: "Too much at once",
    429: "Too often",
    501: "Not installed here",
    503: "Something is away; come back",
}
_HEADERS: dict[str, Json] = {
    "ETag": {
        "description": "Names these bytes: send it as `If-None-Match`.",
        "schema": {"type": "string", "pattern": '^"[0-9a-f]+-[0-9a-f]{12}(-(csv|xlsx|parquet)(-[a-z]+)?-(ko|en))?"$'},
    },
    "Cache-Control": {
        "description": "Who may keep the answer.",
        "schema": {"type": "string", "enum": ["private, no-cache", "no-store"]},
    },
    "Vary": {"description": "What the answer depends on.", "schema": {"type": "string"}},
    "X-Data-Source": {
        "description": "Whether it was kept, or made of the database now.",
        "schema": {"type": "string", "enum": ["cache", "live"]},
    },
    "Content-Language": {
        "description": "The language of title and detail.",
        "schema": {"type": "string", "enum": ["ko", "en"]},
    },
    "Retry-After": {
        "description": "Seconds until it may work.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "WWW-Authenticate": {"description": "How to bring a token.", "schema": {"type": "string", "enum": ["Bearer"]}},
    "Set-Cookie": {"description": "The cookie, HttpOnly and SameSite=Strict.", "schema": {"type": "string"}},
}
_CALLERS: dict[str, Json] = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token of the platform's."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "The page's sign-in."},
}


_EXAMPLES: Json = json.loads(resources.files("hannun.web").joinpath("examples.json").read_text(encoding="utf-8"))
"""Questions that were asked and what was answered, by operation. A test asks them again."""


def document_of(app: FastAPI) -> Json:
    """The whole document of an application."""
    found = get_openapi(title=app.title, version=app.version, routes=app.routes)
    structs: set[type] = {Problem}
    paths: Json = {}
    for path, operations in found["paths"].items():
        told = {method: _operation(path, operations[method], structs) for method in _METHODS if method in operations}
        paths[re.sub(r"\{(\w+)\}", lambda name: f"{{{in_camel_case(name[1])}}}", path)] = told
    schemas = {**_tidied(found.get("components", {}).get("schemas", {})), **_schemas_of(structs)}
    _named_problems(schemas)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hannun",
            "version": app.version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This service"}],
        "tags": [{"name": name, "description": said} for name, said in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "headers": {name: {"required": True, **header} for name, header in _HEADERS.items()},
            "securitySchemes": _CALLERS,
        },
    }


def as_text(document: Json) -> str:
    """The document as it is kept in the repository."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


# -- operations ------------------------------------------------------------------------------------------------------


def _operation(path: str, found: Json, structs: set[type]) -> Json:
    promise, name = PROMISES[found["operationId"]], in_camel_case(found["operationId"])
    example = _EXAMPLES.get(name, {})
    summary, _, more = str(found["description"]).partition("\n")
    told: Json = {
        "operationId": name,
        "tags": [_tag_of(path)],
        "summary": summary.rstrip("."),
        **({"description": inspect.cleandoc(f"{summary}\n{more}")} if more.strip() else {}),
        "security": [dict(caller) for caller in promise.callers],
    }
    parameters = [_parameter(each, example) for each in found.get("parameters", [])]
    for each in parameters:
        if each["name"] == "table":
            each["schema"]["enum"] = list(promise.tables)
    if promise.conditional:
        parameters.append(
            {
                "name": "If-None-Match",
                "in": "header",
                "description": "The ETag of what the caller has.",
                "schema": {"type": "string"},
            }
        )
    parameters.append(
        {
            "name": "Accept-Language",
            "in": "header",
            "description": "The language of problems: Korean or English.",
            "schema": {"type": "string"},
        }
    )
    told["parameters"] = parameters
    if promise.takes is not None:
        content = {kind: {"schema": _schema(shape, structs)} for kind, shape in promise.takes.content.items()}
        if "body" in example:
            content["application/json"]["example"] = example["body"]
        told["requestBody"] = {"required": True, "content": content}
        if promise.takes.description:
            told["requestBody"]["description"] = promise.takes.description
    told["responses"] = _responses(promise, example, structs)
    return told


def _tag_of(path: str) -> str:
    if "/shares" in path or path.endswith("{event_id}/session"):
        return "links"
    part = path.removeprefix("/api/v1/").partition("/")[0]
    return {"users": "merchants"}.get(part, part)


def _parameter(found: Json, example: Json) -> Json:
    """A parameter as it is sent: what cannot be sent, null, is not among what it may be."""
    schema = dict(found["schema"])
    choices = [each for each in schema.pop("anyOf", []) if each != {"type": "null"}]
    if len(choices) == 1:
        choices = choices[0].get("anyOf", choices)
    if len(choices) == 1:
        schema = {**choices[0], **schema}
    elif choices:
        schema["anyOf"] = choices
    for told_twice in ("title", "description"):
        schema.pop(told_twice, None)
    name = in_camel_case(found["name"]) if found["in"] == "path" else found["name"]
    told = {"name": name, "in": found["in"], "required": found["required"]}
    if "description" in found:
        told["description"] = found["description"]
    shown = example.get("path", {}) | example.get("query", {})
    if name in shown:
        told["example"] = shown[name]
    return {**told, "schema": schema}


def _responses(promise: Promise, example: Json, structs: set[type]) -> Json:
    headers = {name: _header(name) for name in promise.headers}
    success: Json = {"description": _MEANINGS[promise.status], "headers": headers}
    if promise.media_type != "application/json":
        success["content"] = {promise.media_type: {"schema": {"type": "string"}}}
    elif promise.shape is not None:
        success["content"] = {promise.media_type: {"schema": _schema(promise.shape, structs)}}
        if "answer" in example:
            success["content"][promise.media_type]["example"] = example["answer"]
    for media_type in promise.files:
        told = {"type": "string"} if media_type.startswith("text/") else {"type": "string", "format": "binary"}
        success["content"][media_type] = {"schema": told}
    if promise.follows:
        success["links"] = {
            link: {"operationId": in_camel_case(operation), "parameters": dict(parameters)}
            for link, (operation, parameters) in promise.follows.items()
        }
    responses = {str(promise.status): success}
    if promise.conditional:
        responses["304"] = {"description": _MEANINGS[304], "headers": headers}
    statuses: dict[int, list[str]] = {}
    for code in promise.refuses:
        statuses.setdefault(CODES[code].status, []).append(code)
    for status, codes in sorted(statuses.items()):
        responses[str(status)] = _refusal(status, codes)
    return responses


def _refusal(status: int, codes: Iterable[str]) -> Json:
    names = ["Content-Language", "Cache-Control", "Vary"]
    names += {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}.get(status, [])
    schema = {
        "allOf": [{"$ref": _SCHEMAS.format(name="Problem")}],
        "properties": {"status": {"const": status}, "code": {"enum": sorted(codes)}},
    }
    return {
        "description": f"{_MEANINGS[status]}: {', '.join(f'`{code}`' for code in sorted(codes))}",
        "headers": {name: _header(name) for name in names},
        "content": {"application/problem+json": {"schema": schema}},
    }


def _header(name: str) -> Json:
    return {"$ref": f"#/components/headers/{name}"}


# -- schemas ---------------------------------------------------------------------------------------------------------


def _schema(shape: Any, structs: set[type]) -> Json:
    """A struct by its name, which is told among the components; else a schema as it is."""
    if isinstance(shape, Mapping):
        return dict(shape)
    structs.add(shape)
    return {"$ref": _SCHEMAS.format(name=shape.__name__)}


def _schemas_of(structs: set[type]) -> Json:
    ordered = sorted(structs, key=lambda struct: struct.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template=_SCHEMAS)
    return {name: _always_there(_tidied(schema)) for name, schema in schemas.items()}


def _tidied(schema: Any) -> Any:
    """A schema as people read it: descriptions without the source's line breaks, one kind of number instead of two."""
    if isinstance(schema, list):
        return [_tidied(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    told = {name: _tidied(value) for name, value in schema.items()}
    if isinstance(told.get("description"), str):
        told["description"] = inspect.cleandoc(told["description"])
    if "anyOf" in told:
        choices = [each for each in told["anyOf"] if not _is_integer_beside_number(each, told["anyOf"])]
        if len(choices) == 1:
            told |= choices[0]
            del told["anyOf"]
        else:
            told["anyOf"] = choices
    return told


def _is_integer_beside_number(schema: Json, beside: list[Json]) -> bool:
    return schema.get("type") == "integer" and {**schema, "type": "number"} in beside


def _always_there(schema: Json) -> Json:
    """What has a default is written out all the same: an answer always has it; a problem leaves out what it lacks."""
    properties: Json = schema.get("properties", {})
    if schema["title"] in ("Problem", *_TAKEN):
        return schema
    there = [name for name, each in properties.items() if name in schema.get("required", ()) or "default" in each]
    for each in properties.values():
        each.pop("default", None)
    return {**schema, "required": there} if there else schema


_TAKEN = ("WantedLink", "LinkSecret", "SignIn")
"""What is taken and not answered: what has a default may be left out."""


def _named_problems(schemas: Json) -> None:
    problem = schemas["Problem"]["properties"]
    problem["code"] |= {"enum": sorted(CODES), "description": "Stable, for programs."}
    problem["type"] |= {"format": "uri", "description": "`urn:hannun:problem:` and the code."}
    problem["instance"]["description"] = "The path that was asked."
    for name in ("detail", "field"):  # left out where there is nothing to say
        problem[name] = {"type": "string"}
