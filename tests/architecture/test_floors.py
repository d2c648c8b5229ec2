"""The shape of the house: data runs downhill. Each floor may use those below it; nothing upwards, nothing sideways."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "hannun"

# From the top; a floor may import those below it, and what stands at its own place only as `inside` says.
FLOORS = [
    ["cli", "__main__"],
    ["processes"],
    ["settings"],
    ["web"],
    ["flows", "scheduler"],
    ["counting"],
    ["store", "kafka", "cache", "channels", "issuer", "files"],
    ["telemetry"],
    ["domain"],
    ["errors"],
]
OUTSIDE = ["embedded", "sandbox"]  # stand beside the house: they know only errors
WEB_MAY_ALSO = {"telemetry"}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCE.rglob("*.py")):
        if "migrations" in path.parts:
            continue
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        yield name, path


def imports_of(path: Path) -> Iterator[str]:
    """What a module of ours imports of ours, without `hannun.` in front."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "hannun":
            inner = node.module.removeprefix("hannun").lstrip(".")
            for alias in node.names:
                yield f"{inner}.{alias.name}".lstrip(".")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "hannun":
                    yield alias.name.removeprefix("hannun").lstrip(".")


def height(name: str) -> int | None:
    first = name.split(".")[0]
    return next((level for level, floor in enumerate(FLOORS) if first in floor), None)


MODULES = [(name, path) for name, path in modules() if name and name != "hannun"]


@pytest.mark.parametrize(("name", "path"), MODULES, ids=[name for name, _ in MODULES])
def test_a_module_uses_only_the_floors_below_it(name: str, path: Path) -> None:
    first = name.split(".")[0]
    for imported in imports_of(path):
        target = imported.split(".")[0]
        if first in OUTSIDE:
            assert target in (first, "errors"), f"{name} stands for others, and knows only errors: not {imported}"
            continue
        if target in OUTSIDE:
            assert first in ("cli", "processes"), f"{name} must not know {imported}"
            continue
        here, there = height(name), height(imported)
        assert here is not None, f"{name} stands on no floor"
        assert there is not None, f"{imported} stands on no floor"
        if first == target or name == "__main__":
            continue
        assert there > here, f"{name} reaches upwards or sideways to {imported}"


@pytest.mark.parametrize(("name", "path"), [m for m in MODULES if m[0].startswith("flows.")])
def test_no_flow_knows_another(name: str, path: Path) -> None:
    others = [imported for imported in imports_of(path) if imported.startswith("flows.")]
    assert others == []


@pytest.mark.parametrize(("name", "path"), [m for m in MODULES if m[0].startswith("domain.")])
def test_the_domain_has_no_clock_no_io_and_no_logger(name: str, path: Path) -> None:
    text = path.read_text("utf-8")
    forbidden = r"^(?:import|from) (time|os|socket|logging|structlog|random|asyncio|threading|psycopg|redis)\b"
    assert re.findall(forbidden, text, re.MULTILINE) == []
    assert ".now(" not in text


@pytest.mark.parametrize(("name", "path"), MODULES, ids=[name for name, _ in MODULES])
def test_only_the_store_speaks_to_postgresql(name: str, path: Path) -> None:
    drivers = re.findall(r"^(?:import|from) (psycopg\w*)", path.read_text("utf-8"), re.MULTILINE)
    # the embedded set-up meets the driver in person, before there is a schema
    allowed = name.startswith(("store.", "embedded.")) or name == "processes.all_in_one"
    assert allowed or not drivers


def test_only_the_command_line_and_the_processes_read_settings() -> None:
    seers = {name for name, path in MODULES if any(i.split(".")[0] == "settings" for i in imports_of(path))}
    seers = {name.split(".")[0] for name in seers}
    assert seers <= {"cli", "processes", "settings"}


def test_every_query_is_used_and_every_used_query_exists() -> None:
    code = "\n".join(path.read_text("utf-8") for name, path in MODULES if name.startswith("store."))
    for path in sorted((SOURCE / "store" / "sql").glob("*.sql")):
        for query in re.findall(r"^-- (\w+) --$", path.read_text("utf-8"), re.MULTILINE):
            assert path.stem in ("reconcile", "shadow_comparison") or f'"{query}"' in code, (
                f"{path.name}: {query} is asked by nobody"
            )
