"""The OpenAPI 3.1 document: paths and parameters from FastAPI, responses from the structs that are encoded.

routes ─► FastAPI ─► paths, parameters ──┐
@answers_with ─────► responses, problems ┼─► the document ─► /openapi.json, docs/openapi.json
structs ─► msgspec ─► schemas ───────────┘
"""

import inspect
import json
import re
from collections.abc import Iterable
from importlib import resources

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from hannun.web.auth import COOKIE
from hannun.web.contract import ROUTE_CONTRACTS, Json, RouteContract
from hannun.web.openapi_schemas import component_schemas, reference_to, schema_of
from hannun.web.problem_codes import CODES
from hannun.web.problems import Problem, in_camel_case

_METHODS = ("get", "post", "delete", "put", "patch")
_TAGS = {
    "events": "The figures of one event.",
    "merchants": "The figures of all of a merchant's events together.",
    "links": "Links that grant others read access to one event.",
    "messages": "Sending messages over HTTP.",
    "session": "The page's sign-in.",
}
_DESCRIPTION = """\
How a promotional event is doing, on every channel, in numbers that can be proven.

Rates and ROI are percent with two decimals, null where the divisor is 0. Money is in won (KRW). `x-unit` has the unit
of each figure, and `provenance` in the responses says how a figure came about. Names never change; new fields may be
added.

The cookie of a share link (`openShare`) grants access to the views of its event too. It is not a sign-in: a cookie that
grants no access gets 404, as if the event did not exist.

Errors are problem details (RFC 9457) with a stable `code`, in Korean or English by `Accept-Language`. Besides those of
each operation there are 404 `no-such-path`, 405 `method-not-allowed`, and 500 `internal`, which is a defect of the
service.
"""
_STATUS_DESCRIPTIONS = {
    200: "The response to the request",
    201: "Created",
    204: "Done",
    304: "Unchanged since the ETag in `If-None-Match`",
    400: "The request is invalid",
    401: "No valid token",
    403: "A permission is missing",
    404: "Nothing there that the caller may see",
    409: "It conflicts with the present state",
    413: "Too large",
    415: "Sent as another type than the route takes",
    429: "Too many requests",
    501: "Not installed here",
    503: "A dependency is unavailable; try again later",
}
_HEADERS: dict[str, Json] = {
    "ETag": {
        "description": "Identifies this response: send it as `If-None-Match`.",
        "schema": {
            "type": "string",
            "pattern": '^W/"[0-9a-f]+-[0-9a-f]{12}(-(csv|xlsx|parquet)(-[a-z]+)?-(ko|en)-[0-9a-f]{8})?"$',
        },
    },
    "Cache-Control": {
        "description": "Who may cache the response.",
        "schema": {"type": "string", "enum": ["private, no-cache", "no-store"]},
    },
    "Vary": {"description": "The request headers that the response depends on.", "schema": {"type": "string"}},
    "X-Data-Source": {
        "description": "Whether the response came from the cache or was computed from the database.",
        "schema": {"type": "string", "enum": ["cache", "live"]},
    },
    "Content-Language": {
        "description": "The language of `title` and `detail`.",
        "schema": {"type": "string", "enum": ["ko", "en"]},
    },
    "Retry-After": {
        "description": "Seconds until the request may succeed.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "WWW-Authenticate": {"description": "How to send a token.", "schema": {"type": "string", "enum": ["Bearer"]}},
    "Set-Cookie": {"description": "The cookie, HttpOnly and SameSite=Strict.", "schema": {"type": "string"}},
}
_SECURITY_SCHEMES: dict[str, Json] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token from the platform's user service.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "The page's session cookie. Behind TLS its name begins with `__Host-`.",
    },
}


_EXAMPLES: Json = json.loads(resources.files("hannun.web").joinpath("examples.json").read_text(encoding="utf-8"))
"""Recorded requests and responses, by operation. A test repeats them."""


def document_of(app: FastAPI) -> Json:
    """The whole document of an application."""
    generated = get_openapi(title=app.title, version=app.version, routes=app.routes)
    structs: set[type] = {Problem}
    received: set[type] = set()
    paths: Json = {}
    for path, operations in generated["paths"].items():
        name = re.sub(r"\{(\w+)\}", lambda parameter: f"{{{in_camel_case(parameter[1])}}}", path)
        paths[name] = {
            method: _operation(path, operations[method], structs, received)
            for method in _METHODS
            if method in operations
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hannun",
            "version": app.version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This service"}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": component_schemas(structs, received, generated.get("components", {}).get("schemas", {})),
            "headers": {name: {"required": True, **header} for name, header in _HEADERS.items()},
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def as_text(document: Json) -> str:
    """The document as text, as the repository keeps it."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


# -- operations ------------------------------------------------------------------------------------------------------


def _operation(path: str, generated: Json, structs: set[type], received: set[type]) -> Json:
    contract, name = ROUTE_CONTRACTS[generated["operationId"]], in_camel_case(generated["operationId"])
    example = _EXAMPLES.get(name, {})
    summary, _, more = str(generated["description"]).partition("\n")
    operation: Json = {
        "operationId": name,
        "tags": [_tag_of(path)],
        "summary": summary.rstrip("."),
        **({"description": inspect.cleandoc(f"{summary}\n{more}")} if more.strip() else {}),
        "security": [dict(requirement) for requirement in contract.security],
        "parameters": _parameters(contract, generated.get("parameters", []), example),
    }
    if contract.request_body is not None:
        content = {
            media_type: {"schema": schema_of(shape, received)}
            for media_type, shape in contract.request_body.content.items()
        }
        if "body" in example:
            content["application/json"]["example"] = example["body"]
        operation["requestBody"] = {"required": True, "content": content}
        if contract.request_body.description:
            operation["requestBody"]["description"] = contract.request_body.description
    operation["responses"] = _responses(contract, example, structs)
    return operation


def _parameters(contract: RouteContract, generated: list[Json], example: Json) -> list[Json]:
    parameters = [_parameter(parameter, example) for parameter in generated]
    for parameter in parameters:
        if parameter["name"] == "table":
            parameter["schema"]["enum"] = list(contract.tables)
    if contract.conditional:
        parameters.append(_header_parameter("If-None-Match", "The ETag of the response that the client has."))
    parameters.append(_header_parameter("Accept-Language", "The language of problems: Korean or English."))
    return parameters


def _header_parameter(name: str, description: str) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


def _tag_of(path: str) -> str:
    if "/shares" in path or path.endswith("{event_id}/session"):
        return "links"
    part = path.removeprefix("/api/v1/").partition("/")[0]
    return {"users": "merchants"}.get(part, part)


def _parameter(generated: Json, example: Json) -> Json:
    """A parameter without null among its types: a query string cannot express it."""
    schema = dict(generated["schema"])
    choices = [choice for choice in schema.pop("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        choices = choices[0].get("anyOf", choices)
    if len(choices) == 1:
        schema = {**choices[0], **schema}
    elif choices:
        schema["anyOf"] = choices
    for of_parameter in ("title", "description"):
        schema.pop(of_parameter, None)
    name = in_camel_case(generated["name"]) if generated["in"] == "path" else generated["name"]
    parameter = {"name": name, "in": generated["in"], "required": generated["required"]}
    if "description" in generated:
        parameter["description"] = generated["description"]
    values = example.get("path", {}) | example.get("query", {})
    if name in values:
        parameter["example"] = values[name]
    return {**parameter, "schema": schema}


def _responses(contract: RouteContract, example: Json, structs: set[type]) -> Json:
    headers = {name: _header(name) for name in contract.headers}
    success: Json = {"description": _STATUS_DESCRIPTIONS[contract.status], "headers": headers}
    if contract.media_type != "application/json":
        success["content"] = {contract.media_type: {"schema": {"type": "string"}}}
    elif contract.schema is not None:
        success["content"] = {contract.media_type: {"schema": schema_of(contract.schema, structs)}}
        if "answer" in example:
            success["content"][contract.media_type]["example"] = example["answer"]
    for media_type in contract.files:
        file = {"type": "string"} if media_type.startswith("text/") else {"type": "string", "format": "binary"}
        success["content"][media_type] = {"schema": file}
    if contract.links:
        success["links"] = {
            link: {"operationId": in_camel_case(operation), "parameters": dict(parameters)}
            for link, (operation, parameters) in contract.links.items()
        }
    responses = {str(contract.status): success}
    if contract.conditional:
        responses["304"] = {"description": _STATUS_DESCRIPTIONS[304], "headers": headers}
    codes_by_status: dict[int, list[str]] = {}
    for code in contract.problems:
        codes_by_status.setdefault(CODES[code].status, []).append(code)
    for status, codes in sorted(codes_by_status.items()):
        responses[str(status)] = _problem_response(status, codes)
    return responses


def _problem_response(status: int, codes: Iterable[str]) -> Json:
    names = ["Content-Language", "Cache-Control", "Vary"]
    names += {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}.get(status, [])
    schema = {
        "allOf": [reference_to("Problem")],
        "properties": {"status": {"const": status}, "code": {"enum": sorted(codes)}},
    }
    return {
        "description": f"{_STATUS_DESCRIPTIONS[status]}: {', '.join(f'`{code}`' for code in sorted(codes))}",
        "headers": {name: _header(name) for name in names},
        "content": {"application/problem+json": {"schema": schema}},
    }


def _header(name: str) -> Json:
    return {"$ref": f"#/components/headers/{name}"}
