"""The contract that is kept: `docs/openapi.json`, and that of the last release, `docs/openapi.released.json`.

    python tools/contract.py write     make docs/openapi.json anew
    python tools/contract.py check     fail where it is not what the code makes, or breaks what was released
    python tools/contract.py release   from here on this is what was released

A comparison of our own, since the document has one author and few forms: what a client relies on can be listed in a
page of code, needs no program of another language in CI, and says what broke in our words.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
KEPT, RELEASED = DOCS / "openapi.json", DOCS / "openapi.released.json"
Json = dict[str, Any]
RENEW = "make contract makes docs/openapi.json anew; read what changed in it"


def made() -> str:
    """The document as the code makes it."""
    from hannun.web.app import application
    from hannun.web.openapi import as_text

    return as_text(application(SimpleNamespace(cors_origins=())).openapi())  # type: ignore[arg-type]


def broken(old: Json, new: Json) -> list[str]:
    """What a client of the old document relies on, and the new one does not keep."""
    return [*_paths(old, new)]


def _paths(old: Json, new: Json) -> Iterator[str]:
    for path, operations in old["paths"].items():
        for method, was in operations.items():
            where = f"{method.upper()} {path}"
            now = new["paths"].get(path, {}).get(method)
            if now is None:
                yield f"{where}: is gone"
                continue
            if was["operationId"] != now["operationId"]:
                yield f"{where}: operationId {was['operationId']} became {now['operationId']}"
            yield from _parameters(where, was, now, old, new)
            yield from _bodies(where, was, now, old, new)
            yield from _responses(where, was, now, old, new)
            if not [each for each in was.get("security", []) if each in now.get("security", [])]:
                yield f"{where}: who could call it no longer can"


def _parameters(where: str, was: Json, now: Json, old: Json, new: Json) -> Iterator[str]:
    before = {(each["in"], each["name"]): each for each in was.get("parameters", [])}
    after = {(each["in"], each["name"]): each for each in now.get("parameters", [])}
    for key, each in before.items():
        place = f"{where}: parameter {key[1]}"
        if key not in after:
            yield f"{place} is gone"
        else:
            yield from _narrower(place, each["schema"], after[key]["schema"], old, new)
    for key, each in after.items():
        if each.get("required") and not before.get(key, {}).get("required"):
            yield f"{where}: parameter {key[1]} is required now"


def _bodies(where: str, was: Json, now: Json, old: Json, new: Json) -> Iterator[str]:
    before, after = (each.get("requestBody", {}).get("content", {}) for each in (was, now))
    if after and not before:
        yield f"{where}: a body is required now"
    for kind, content in before.items():
        if kind not in after:
            yield f"{where}: a body of {kind} is taken no longer"
        else:
            yield from _narrower(f"{where}: body", content["schema"], after[kind]["schema"], old, new)


def _responses(where: str, was: Json, now: Json, old: Json, new: Json) -> Iterator[str]:
    for status, before in was["responses"].items():
        after = now["responses"].get(status)
        if after is None:
            if status < "400":
                yield f"{where}: {status} is answered no longer"
            continue
        for name in before.get("headers", {}):
            if name not in after.get("headers", {}):
                yield f"{where}: {status} has no header {name} any more"
        for kind, content in before.get("content", {}).items():
            if kind not in after.get("content", {}):
                yield f"{where}: {status} is no longer {kind}"
            elif status < "400":  # of refusals fewer are no loss, and more have codes of their own
                told = after["content"][kind]["schema"]
                yield from _wider(f"{where}: {status}", content["schema"], told, old, new)


def _wider(where: str, was: Json, now: Json, old: Json, new: Json) -> Iterator[str]:
    """Where an answer may be what it could not be before, or lacks what it always had."""
    was, now = _meant(was, old), _meant(now, new)
    if "anyOf" in was or "anyOf" in now:
        before, after = _choices(was, old), _choices(now, new)
        for kind in after.keys() - before.keys():
            yield f"{where}: may be {kind} now"
        for kind in before.keys() & after.keys():
            yield from _wider(where, before[kind], after[kind], old, new)
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
            yield f"{where}.{name} is gone"
            continue
        if name in was.get("required", ()) and name not in now.get("required", ()):
            yield f"{where}.{name} may be missing now"
        yield from _wider(f"{where}.{name}", each, now["properties"][name], old, new)
    for inner, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(was.get(inner), dict):
            yield from _wider(f"{where}{mark}", was[inner], now.get(inner, {}), old, new)


def _narrower(where: str, was: Json, now: Json, old: Json, new: Json) -> Iterator[str]:
    """Where something is refused that could be sent before."""
    was, now = _meant(was, old), _meant(now, new)
    if "anyOf" in was or "anyOf" in now:
        before, after = _choices(was, old), _choices(now, new)
        for kind in before.keys() - after.keys():
            yield f"{where}: may be {kind} no longer"
        for kind in before.keys() & after.keys():
            yield from _narrower(where, before[kind], after[kind], old, new)
        return
    if now.get("type") not in (None, was.get("type")):
        yield f"{where}: {was.get('type')} became {now.get('type')}"
        return
    if "enum" in now and ("enum" not in was or set(was["enum"]) - set(now["enum"])):
        yield f"{where}: takes only {', '.join(map(str, now['enum']))} now"
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
            yield from _narrower(f"{where}.{name}", each, now["properties"][name], old, new)
    if isinstance(was.get("items"), dict):
        yield from _narrower(f"{where}[]", was["items"], now.get("items", {}), old, new)


def _meant(schema: Json, document: Json) -> Json:
    """The schema that a reference names, with what stands beside the reference."""
    if "$ref" not in schema:
        return schema
    named: Json = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return {**named, **{name: value for name, value in schema.items() if name != "$ref"}}


def _choices(schema: Json, document: Json) -> dict[str, Json]:
    """What something may be, by its type and format."""
    choices = (_meant(each, document) for each in schema.get("anyOf", [schema]))
    return {" ".join(filter(None, (each.get("type", "anything"), each.get("format")))): each for each in choices}


def main(verb: str) -> int:
    now = made()
    if verb == "write":
        KEPT.write_text(now, encoding="utf-8")
        return 0
    if verb == "release":
        RELEASED.write_text(now, encoding="utf-8")
        return main("write")
    breaks = broken(json.loads(RELEASED.read_text(encoding="utf-8")), json.loads(now)) if RELEASED.exists() else []
    for each in breaks:
        print(f"BREAKS what was released: {each}")
    stale = not KEPT.exists() or KEPT.read_text(encoding="utf-8") != now
    if stale:
        print(f"docs/openapi.json is not what the code makes: {RENEW}")
    return 1 if breaks or stale else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
