"""The Terraform files among each other: their format, and that every name which one uses is declared by another.

`terraform validate` would need the provider, which this check does without. Asks no server.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import azurerm
from azurerm import FILES
from policies import PROGRAMS

ENVIRONMENTS: Final = ("dev", "prod")
CALL_ARGUMENTS: Final = {"source", "version", "depends_on", "count", "for_each", "providers"}
"""What Terraform itself takes in a call of a module."""


# -- format --------------------------------------------------------------------------------------------------------


def terraform() -> str | None:
    """The program `terraform` of this machine, if there is one. It cannot be built from the Go proxy."""
    return shutil.which("terraform")


def badly_formatted(files: Path = FILES) -> list[str]:
    """Each file that is written otherwise than the formatter writes it, or that cannot be parsed.

    HashiCorp's hclfmt arranges lines as `terraform fmt` does. What `terraform fmt` does beside that, as to write
    "${var.a}" as var.a, is checked where the machine has it.
    """
    found = []
    for path in _sources(files):
        result = subprocess.run(
            [PROGRAMS / "hclfmt", str(path)], capture_output=True, text=True, timeout=60, check=False
        )
        if result.returncode != 0:
            found.append(f"{path.relative_to(files)}: {result.stderr.strip()}")
        elif result.stdout != path.read_text("utf-8"):
            found.append(f"{path.relative_to(files)}: run `terraform fmt -recursive deploy/azure`")
    program = terraform()
    if program is not None:
        command = [program, "fmt", "-check", "-recursive", "-list=true", str(files)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        found += [f"terraform fmt: {line}" for line in result.stdout.splitlines()]
    return found


def _sources(files: Path) -> list[Path]:
    return sorted([*files.rglob("*.tf"), *files.rglob("*.tfvars")])


# -- names ---------------------------------------------------------------------------------------------------------


class Module:
    """What the files of a folder declare, and their text without comments."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        texts = [path.read_text("utf-8") for path in sorted(folder.glob("*.tf"))]
        contents = [azurerm.parsed(text) for text in texts]
        self.text = re.sub(r"(?m)(^|\s)#.*$", "", "\n".join(texts))
        self.variables = _named(contents, "variable")
        self.outputs = _named(contents, "output")
        self.calls = _named(contents, "module")
        self.locals = {
            name for one in contents for block in one.get("locals", []) for name in block if name[:2] != "__"
        }
        self.resources = {
            (type_, name)
            for one in contents
            for block in one.get("resource", [])
            for type_, named in block.items()
            for name in named
        }

    def used(self, kind: str) -> set[tuple[str, ...]]:
        """What follows `kind.`, as ("database", "size") for var.database.size."""
        paths = re.findall(rf"(?<![\w.]){kind}\.(\w[\w-]*)(?:\[[^\]]*\])?(?:\.(\w+))?", self.text)
        return {tuple(filter(None, path)) for path in paths}


def _named(contents: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {name: body for one in contents for block in one.get(kind, []) for name, body in block.items()}


def unknown_names(files: Path = FILES) -> list[str]:
    """Each name of a variable, output, local value, resource or attribute that is used and not there, or not used."""
    root = Module(files)
    modules = {folder.name: Module(folder) for folder in sorted((files / "modules").iterdir())}
    found = [line for module in (root, *modules.values()) for line in _unknown_in(module)]
    found += [line for name, call in root.calls.items() for line in _unknown_of_call(name, call, root, modules)]
    for path in sorted(root.used("module")):
        outputs = modules[path[0]].outputs if path[0] in modules else {}
        if path[0] not in root.calls or (len(path) > 1 and path[1] not in outputs):
            found.append(f"module.{'.'.join(path)} is not there")
    for environment in ENVIRONMENTS:
        path = files / f"environments/{environment}.tfvars"
        found += [f"{path.name}: {line}" for line in _unlike_types(root, azurerm.parsed(path.read_text("utf-8")))]
    return found


def _unknown_in(module: Module) -> Iterator[str]:
    used = {path[0] for path in module.used("var")}
    yield from (f"{module.name}: var.{name} is not declared" for name in sorted(used - set(module.variables)))
    yield from (f"{module.name}: var.{name} is not used" for name in sorted(set(module.variables) - used))
    for path in sorted(module.used("var")):
        fields = _fields_of(module, path[0])
        if len(path) > 1 and fields is not None and path[1] not in fields:
            yield f"{module.name}: var.{'.'.join(path)} is not declared"
    used = {path[0] for path in module.used("local")}
    yield from (f"{module.name}: local.{name} is not declared" for name in sorted(used - module.locals))
    yield from (f"{module.name}: local.{name} is not used" for name in sorted(module.locals - used))
    yield from _unknown_resources(module)


def _unknown_resources(module: Module) -> Iterator[str]:
    places = re.findall(r"(?<![\w.\"])(azurerm_\w+)\.(\w+)(?:\[[^\]]*\])?(?:\.(\w+))?", module.text)
    for type_, name, attribute in sorted(set(places)):
        if (type_, name) not in module.resources and f"data.{type_}.{name}" not in module.text:
            yield f"{module.name}: {type_}.{name} is not declared"
        elif attribute and (type_, name) in module.resources and attribute not in azurerm.attributes_of(type_):
            yield f"{module.name}: {type_}.{name} has no attribute {attribute}"


def _unknown_of_call(name: str, call: Mapping[str, Any], root: Module, modules: Mapping[str, Module]) -> Iterator[str]:
    called = modules.get(name)
    if called is None or call["source"] != [f"./modules/{name}"]:
        yield f"module {name}: {call['source'][0]} is not its folder"
        return
    given = {key: value[0] for key, value in call.items() if key not in CALL_ARGUMENTS and not key.startswith("__")}
    yield from (f"module {name}: {one} is not declared" for one in sorted(set(given) - set(called.variables)))
    needed = {one for one, body in called.variables.items() if "default" not in body}
    yield from (f"module {name}: {one} is missing" for one in sorted(needed - set(given)))
    for one in sorted(set(given) & set(called.variables)):
        passed = re.fullmatch(r"\$\{var\.(\w+)\}", str(given[one]))
        if passed and _type_of(root, passed[1]) != _type_of(called, one):
            yield f"module {name}: {one} has another type than var.{passed[1]}"


# -- types ---------------------------------------------------------------------------------------------------------


def _type_of(module: Module, variable: str) -> str:
    """The type as it is written, without spaces and the signs of the parser."""
    written = str(module.variables.get(variable, {}).get("type", [""])[0])
    return re.sub(r"[\s\"'${}]", "", written.replace("({", "(").replace("})", ")"))


def _fields_of(module: Module, variable: str) -> dict[str, str] | None:
    """The fields of an object with their types; None of other types."""
    return _fields(_type_of(module, variable))


def _fields(type_: str) -> dict[str, str] | None:
    """The fields of object(a:string,b:object(c:number))."""
    if not type_.startswith("object("):
        return None
    fields, depth, begin = {}, 0, 0
    inside = type_.removeprefix("object(")[:-1] + ","
    for place, sign in enumerate(inside):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            name, _, of = inside[begin:place].partition(":")
            fields[name] = of
            begin = place + 1
    return fields


def _unlike_types(root: Module, values: Mapping[str, Any]) -> Iterator[str]:
    """What a file of values sets otherwise than the variables say."""
    needed = {name for name, body in root.variables.items() if "default" not in body}
    yield from (f"{name} is missing" for name in sorted(needed - set(values)))
    for name, (value,) in values.items():
        if name not in root.variables:
            yield f"{name} is not declared"
        else:
            yield from _unlike(value, _type_of(root, name), name)


def _unlike(value: Any, type_: str, place: str) -> Iterator[str]:
    fields = _fields(type_)
    inner = re.fullmatch(r"(?:list|map|set)\((.*)\)", type_)
    if fields is not None:
        if not isinstance(value, Mapping) or set(value) != set(fields):
            yield f"{place} has other fields than {', '.join(fields)}"
        else:
            for name, of in fields.items():
                yield from _unlike(value[name], of, f"{place}.{name}")
    elif inner is not None:
        if not isinstance(value, Mapping if type_.startswith("map") else list):
            yield f"{place} is no {type_}"
        else:
            for one in value.values() if isinstance(value, Mapping) else value:
                yield from _unlike(one, inner[1], place)
    elif (type(value).__name__) not in {"string": ("str",), "number": ("int", "float"), "bool": ("bool",)}[type_]:
        yield f"{place} is no {type_}"
