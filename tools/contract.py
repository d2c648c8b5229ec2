"""Writes `docs/openapi.json`, and compares it with the document of the last release, `docs/openapi.released.json`.

    python tools/contract.py write     write docs/openapi.json from the code
    python tools/contract.py check     fail if docs/openapi.json is stale, or breaks clients of the released document
    python tools/contract.py release   write docs/openapi.json, and make it the released document

Nobody edits the released document. A change that breaks its clients and is made all the same is listed, with its
reason, in `docs/openapi.accepted.toml`.

The comparison is written here, and no tool is used for it: the document comes from one generator and has few forms. So
a page of code covers what a client relies on, CI needs no program in another language, and a failure names the place.
"""

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
CURRENT, RELEASED = DOCS / "openapi.json", DOCS / "openapi.released.json"
ACCEPTED = DOCS / "openapi.accepted.toml"
Json = dict[str, Any]
HINT = "run `make contract`, and read what changed in it"


def generate() -> str:
    """The OpenAPI document of the code."""
    from hannun.web.app import application
    from hannun.web.openapi import as_text

    return as_text(application(SimpleNamespace(cors_origins=())).openapi())  # type: ignore[arg-type]


def breaking_changes(old: Json, new: Json) -> list[str]:
    """The changes from the old document to the new one that can break a client of the old one, in words."""
    return [*_compare_paths(old, new)]


def accepted_changes(text: str) -> list[str]:
    """The breaking changes that were decided on, from the text of `docs/openapi.accepted.toml`."""
    decisions = tomllib.loads(text).get("decision", [])
    assert all(decision["reason"].strip() for decision in decisions), "each decision needs a reason"
    return [change for decision in decisions for change in decision["changes"]]


def without_decisions(text: str) -> str:
    """The text of `docs/openapi.accepted.toml` after a release: its explanation, and no decision."""
    return text.partition("[[decision]]")[0].rstrip() + "\n"


def differences(changes: list[str], accepted: list[str]) -> Iterator[str]:
    """What is wrong with these breaking changes: each is accepted, and each that is accepted is one of them."""
    for change in changes:
        if change not in accepted:
            yield f"breaking change: {change}"
    for change in accepted:
        if change not in changes:
            yield f"{ACCEPTED.name} accepts what is no breaking change: {change}"


def _compare_paths(old: Json, new: Json) -> Iterator[str]:
    for path, operations in old["paths"].items():
        for method, was in operations.items():
            where = f"{method.upper()} {path}"
            now = new["paths"].get(path, {}).get(method)
            if now is None:
                yield f"{where}: was removed"
                continue
            if was["operationId"] != now["operationId"]:
                yield f"{where}: operationId {was['operationId']} became {now['operationId']}"
            yield from _compare_parameters(where, was, now, old, new)
            yield from _compare_bodies(where, was, now, old, new)
            yield from _compare_responses(where, was, now, old, new)
            if not [each for each in was.get("security", []) if each in now.get("security", [])]:
                yield f"{where}: accepts none of its former security schemes"


def _compare_parameters(where: str, was: Json, now: Json, old: Json, new: Json) -> Iterator[str]:
    before = {(each["in"], each["name"]): each for each in was.get("parameters", [])}
    after = {(each["in"], each["name"]): each for each in now.get("parameters", [])}
    for key, each in before.items():
        parameter = f"{where}: parameter {key[1]}"
        if key not in after:
            yield f"{parameter} was removed"
        else:
            yield from _compare_input(parameter, each["schema"], after[key]["schema"], old, new)
    for key, each in after.items():
        if each.get("required") and not before.get(key, {}).get("required"):
            yield f"{where}: parameter {key[1]} is required now"


def _compare_bodies(where: str, was: Json, now: Json, old: Json, new: Json) -> Iterator[str]:
    before, after = (each.get("requestBody", {}).get("content", {}) for each in (was, now))
    if after and not before:
        yield f"{where}: a body is required now"
    for kind, content in before.items():
        if kind not in after:
            yield f"{where}: a body of {kind} is no longer accepted"
        else:
            yield from _compare_input(f"{where}: body", content["schema"], after[kind]["schema"], old, new)


def _compare_responses(where: str, was: Json, now: Json, old: Json, new: Json) -> Iterator[str]:
    for status, before in was["responses"].items():
        after = now["responses"].get(status)
        if after is None:
            if status < "400":
                yield f"{where}: {status} is no longer returned"
            continue
        for name in before.get("headers", {}):
            if name not in after.get("headers", {}):
                yield f"{where}: {status} no longer has a header {name}"
        for kind, content in before.get("content", {}).items():
            if kind not in after.get("content", {}):
                yield f"{where}: {status} is no longer {kind}"
            elif status < "400":  # errors are distinguished by their codes, and may be added or removed
                schema = after["content"][kind]["schema"]
                yield from _compare_output(f"{where}: {status}", content["schema"], schema, old, new)


def _compare_output(where: str, was: Json, now: Json, old: Json, new: Json) -> Iterator[str]:
    """Where a response may contain what it could not contain before, or may lack what it always had."""
    was, now = _resolve(was, old), _resolve(now, new)
    if "anyOf" in was or "anyOf" in now:
        before, after = _choices(was, old), _choices(now, new)
        for kind in after.keys() - before.keys():
            yield f"{where}: may be {kind} now"
        for kind in before.keys() & after.keys():
            yield from _compare_output(where, before[kind], after[kind], old, new)
        return
    if was.get("type") != now.get("type"):
        yield f"{where}: {was.get('type')} became {now.get('type')}"
        return
    if "enum" in was and ("enum" not in now or set(now["enum"]) - set(was["enum"])):
        yield f"{where}: may have other values than {', '.join(map(str, was['enum']))}"
    for bound in ("format", "minimum", "x-unit"):
        if bound in was and was[bound] != now.get(bound):
            yield f"{where}: {bound} {was[bound]} became {now.get(bound)}"
    for name, each in was.get("properties", {}).items():
        if name not in now.get("properties", {}):
            yield f"{where}.{name} was removed"
            continue
        if name in was.get("required", ()) and name not in now.get("required", ()):
            yield f"{where}.{name} may be missing now"
        yield from _compare_output(f"{where}.{name}", each, now["properties"][name], old, new)
    for inner, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(was.get(inner), dict):
            yield from _compare_output(f"{where}{mark}", was[inner], now.get(inner, {}), old, new)


def _compare_input(where: str, was: Json, now: Json, old: Json, new: Json) -> Iterator[str]:
    """Where the service rejects input that it accepted before."""
    was, now = _resolve(was, old), _resolve(now, new)
    if "anyOf" in was or "anyOf" in now:
        before, after = _choices(was, old), _choices(now, new)
        for kind in before.keys() - after.keys():
            yield f"{where}: may no longer be {kind}"
        for kind in before.keys() & after.keys():
            yield from _compare_input(where, before[kind], after[kind], old, new)
        return
    if now.get("type") not in (None, was.get("type")):
        yield f"{where}: {was.get('type')} became {now.get('type')}"
        return
    if "enum" in now and ("enum" not in was or set(was["enum"]) - set(now["enum"])):
        yield f"{where}: accepts only {', '.join(map(str, now['enum']))} now"
    for bound in ("pattern", "format"):
        if bound in now and now[bound] != was.get(bound):
            yield f"{where}: {bound} {was.get(bound)} became {now[bound]}"
    for bound, sign in (("maxLength", 1), ("maximum", 1), ("maxItems", 1), ("minLength", -1), ("minimum", -1)):
        if bound in now and (bound not in was or sign * now[bound] < sign * was[bound]):
            yield f"{where}: {bound} is {now[bound]} now"
    if was.get("default") != now.get("default"):
        yield f"{where}: without it, {was.get('default')} became {now.get('default')}"
    for name in set(now.get("required", ())) - set(was.get("required", ())):
        yield f"{where}.{name} is required now"
    for name, each in was.get("properties", {}).items():
        if name in now.get("properties", {}):
            yield from _compare_input(f"{where}.{name}", each, now["properties"][name], old, new)
    if isinstance(was.get("items"), dict):
        yield from _compare_input(f"{where}[]", was["items"], now.get("items", {}), old, new)


def _resolve(schema: Json, document: Json) -> Json:
    """The schema that a `$ref` names, merged with the other keys beside the `$ref`."""
    if "$ref" not in schema:
        return schema
    referenced: Json = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return {**referenced, **{name: value for name, value in schema.items() if name != "$ref"}}


def _choices(schema: Json, document: Json) -> dict[str, Json]:
    """The alternatives of a schema, by type and format."""
    choices = (_resolve(each, document) for each in schema.get("anyOf", [schema]))
    return {" ".join(filter(None, (each.get("type", "anything"), each.get("format")))): each for each in choices}


def breaking_changes_since_release(current: Json) -> list[str]:
    return breaking_changes(json.loads(RELEASED.read_text(encoding="utf-8")), current)


def accepted_since_release() -> list[str]:
    return accepted_changes(ACCEPTED.read_text(encoding="utf-8"))


def main(verb: str) -> int:
    current = generate()
    if verb == "write":
        CURRENT.write_text(current, encoding="utf-8")
        return 0
    if verb == "release":
        RELEASED.write_text(current, encoding="utf-8")
        ACCEPTED.write_text(without_decisions(ACCEPTED.read_text(encoding="utf-8")), encoding="utf-8")
        return main("write")
    found = list(differences(breaking_changes_since_release(json.loads(current)), accepted_since_release()))
    for line in found:
        print(line)
    stale = not CURRENT.exists() or CURRENT.read_text(encoding="utf-8") != current
    if stale:
        print(f"docs/openapi.json differs from what the code generates: {HINT}")
    return 1 if found or stale else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
