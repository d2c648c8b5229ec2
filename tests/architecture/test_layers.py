"""The layers of `src/hannun`: a module imports only from the layers below its own."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parents[2] / "src" / "hannun"

# From the top. Packages of one layer do not import each other.
LAYERS = [
    ["cli", "__main__"],
    ["processes"],
    ["settings"],
    ["web"],
    ["flows", "scheduler"],
    ["counting"],
    ["store", "kafka", "service_bus", "cache", "channels", "issuer", "tokens", "files", "backups", "pg_programs"],
    ["key_ring"],
    ["secret_file"],
    ["telemetry", "deadlines", "tracing"],
    ["tracing_spans"],
    ["domain"],
    ["errors"],
    ["imports"],
]
LAYER_OF = {package: number for number, layer in enumerate(LAYERS) for package in layer}
OUTSIDE = ["embedded", "sandbox"]
"""Packages of no layer. They import nothing of ours but `errors`, and only `cli` and `processes` import them."""
CLI_IMPORTS = {"cli", "processes", "settings", "flows", "domain", "files", "telemetry", "errors", "imports", *OUTSIDE}
"""What the command line may import: it parses, calls one flow and prints. `processes` opens everything else for it."""
READ_SETTINGS = {"cli", "processes", "settings"}
IMPURE = r"^(?:import|from) (?:time|os|socket|logging|structlog|random|asyncio|threading|psycopg|redis)\b|\.now\("
DRIVES_POSTGRESQL = ("store.", "embedded.", "processes.embedded_servers")
"""Modules that may import psycopg. `hannun up` creates the database and its owner before there is a schema."""


class Module(NamedTuple):
    """A module of ours; names are without `hannun.` in front."""

    name: str
    text: str
    imports: list[str]

    @property
    def package(self) -> str:
        return self.name.split(".")[0]


def modules() -> Iterator[Module]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        if name not in ("", "__init__") and "migrations" not in path.parts:
            text = path.read_text("utf-8")
            yield Module(name, text, list(imports_in(text)))


def imports_in(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "hannun":
            package = node.module.removeprefix("hannun").lstrip(".")
            for alias in node.names:
                yield f"{package}.{alias.name}".lstrip(".")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "hannun":
                    yield alias.name.removeprefix("hannun").lstrip(".")


MODULES = list(modules())
IMPORTS = [(module, imported, imported.split(".")[0]) for module in MODULES for imported in module.imports]


def test_every_module_belongs_to_a_layer() -> None:
    assert len(MODULES) > 80
    assert [module.name for module in MODULES if module.package not in {*LAYER_OF, *OUTSIDE}] == []


def test_a_module_imports_only_from_lower_layers_and_its_own_package() -> None:
    assert [
        f"{module.name} imports {imported}"
        for module, imported, target in IMPORTS
        if module.package in LAYER_OF
        and target not in (module.package, *OUTSIDE)
        and not LAYER_OF[module.package] < LAYER_OF[target]
        and module.name != "__main__"
    ] == []


def test_embedded_and_sandbox_import_only_errors_and_only_cli_and_processes_import_them() -> None:
    assert [
        f"{module.name} imports {imported}"
        for module, imported, target in IMPORTS
        if (module.package in OUTSIDE and target not in (module.package, "errors"))
        or (target in OUTSIDE and module.package not in (target, "cli", "processes"))
    ] == []


def test_the_command_line_imports_neither_web_nor_adapters() -> None:
    assert [
        f"{module.name} imports {imported}"
        for module, imported, target in IMPORTS
        if module.package == "cli" and target not in CLI_IMPORTS
    ] == []


def test_no_flow_imports_another() -> None:
    """A flow is a module of `flows`, or a package of it, which may import within itself."""

    def flow(name: str) -> str:
        return ".".join(name.split(".")[:2])

    assert [
        f"{module.name} imports {imported}"
        for module, imported, target in IMPORTS
        if module.package == target == "flows" and flow(module.name) != flow(imported)
    ] == []


def test_the_domain_has_no_clock_no_input_or_output_and_no_logger() -> None:
    assert [
        f"{module.name}: {found[0]}"
        for module in MODULES
        if module.package == "domain"
        for found in re.finditer(IMPURE, module.text, re.MULTILINE)
    ] == []


def test_only_the_settings_open_the_variables_of_secrets() -> None:
    """`Settings.secret` also reads a secret that stands in a file."""
    may = ("settings", "processes.commands.settings_in_force")
    assert [module.name for module in MODULES if "get_secret_value" in module.text and module.name not in may] == []


def test_only_the_store_imports_the_driver_of_postgresql() -> None:
    assert [
        f"{module.name}: {found[0]}"
        for module in MODULES
        if not module.name.startswith(DRIVES_POSTGRESQL)
        for found in re.finditer(r"^(?:import|from) psycopg\w*", module.text, re.MULTILINE)
    ] == []


def test_every_connection_of_the_service_has_deadlines() -> None:
    """The drivers' own connections wait for ever, or for each part of an answer."""
    own_classes = {"store.connections", "cache.bounded_socket"}
    assert [
        f"{module.name}: {found[0]}"
        for module in MODULES
        if module.package not in OUTSIDE and module.name not in own_classes
        for found in re.finditer(r"psycopg\.(Async)?[cC]onnect(ion)?\(|psycopg\.connect|redis\.Redis\(", module.text)
        if module.name != "processes.embedded_servers"  # its PostgreSQL is a child that it has just started
    ] == []


def test_every_wait_for_a_thread_of_a_limited_number_has_a_deadline() -> None:
    """`deadlines.run_in_thread` has it; anyio's own function waits for ever."""
    assert [module.name for module in MODULES if "limiter=" in module.text] == ["deadlines"]


def test_only_the_command_line_and_the_processes_read_settings() -> None:
    assert [
        f"{module.name} imports {imported}"
        for module, imported, target in IMPORTS
        if target == "settings" and module.package not in READ_SETTINGS
    ] == []


def test_every_query_in_a_sql_file_is_used() -> None:
    code = "\n".join(module.text for module in MODULES if module.package == "store")
    assert [
        f"{path.name}: {query}"
        for path in sorted((SOURCE / "store" / "sql").glob("*.sql"))
        if path.stem not in ("reconciliation", "shadow_parts")  # all of their queries run, one after the other
        for query in re.findall(r"^-- (\w+) --$", path.read_text("utf-8"), re.MULTILINE)
        if f'"{query}"' not in code
    ] == []


PRIVATE_OF_OTHERS = (
    r"^ *(?:from|import) (?!hannun\b)\S*(?:\._|\bprotocols\.)\S*"
    r"|^ *from (?!hannun\b)\S+ import (?:.*, )?_\w+"
    r"|\b(?:fastapi|httptools|jwt|msgspec|psycopg|redis|starlette|uvicorn)\b[\w.]*\._\w+"
)
"""What a library does not document: private modules and names, and the protocols of uvicorn."""


def test_each_name_that_a_library_does_not_document_stands_in_one_place() -> None:
    assert [
        (module.name, found[0].strip())
        for module in MODULES
        for found in re.finditer(PRIVATE_OF_OTHERS, module.text, re.MULTILINE)
    ] == [
        ("store.connections", "psycopg.errors._WaitTimeout"),
        ("web.uvicorn_internals", "from uvicorn.protocols.http.httptools_impl"),
    ]


def test_each_migration_says_which_tables_it_locks() -> None:
    """`tests/store/test_migration_plan.py` prints the lines for a new one, and proves that they are true."""
    folder = SOURCE / "store" / "migrations"
    assert [file.name for file in sorted(folder.glob("*.sql")) if "\n-- locks: " not in file.read_text("utf-8")] == []
