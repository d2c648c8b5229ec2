"""What must hold for the page's files without a browser: it may be served under a strict Content-Security-Policy,
and its libraries are the ones we say they are."""

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STATIC = ROOT / "src/hannun/web/static"
VENDOR = STATIC / "vendor"
TOOLS = ROOT / "tools/page"


class Tags(HTMLParser):
    """All tags of a document with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def index_tags(page: str = "index.html") -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed((STATIC / page).read_text(encoding="utf-8"))
    return parser.seen


def own_modules() -> set[str]:
    return {
        "/static/" + path.relative_to(STATIC).as_posix()
        for path in STATIC.rglob("*.js")
        # api-types.js holds only types, and docs.js is of another page
        if VENDOR not in path.parents and path.name not in ("api-types.js", "docs.js")
    }


@pytest.mark.parametrize("page", ["index.html", "docs.html"])
def test_the_document_holds_no_inline_script_or_style(page: str) -> None:
    for tag, attributes in index_tags(page):
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert not {name for name in attributes if name == "style" or name.startswith("on")}


@pytest.mark.parametrize("page", ["index.html", "docs.html"])
def test_every_address_in_the_document_is_a_file_of_ours(page: str) -> None:
    for _, attributes in index_tags(page):
        address = attributes.get("href") or attributes.get("src")
        if address and address != "/openapi.json":
            assert address.startswith("/static/")
            assert (STATIC / address.removeprefix("/static/")).is_file(), address


def test_every_module_is_preloaded_so_that_none_is_discovered_late() -> None:
    named = {attributes.get("href") or attributes.get("src") for _, attributes in index_tags()}
    assert own_modules() - named == set()


def test_modules_import_only_files_beside_them() -> None:
    for path in STATIC.rglob("*.js"):
        if path.name == "swagger-ui.js":
            continue  # a script and no module
        text = path.read_text(encoding="utf-8")
        for name in re.findall(
            r'^import\b[^"]*"([^"]+)"|\bfrom ?"([^"]+)"|\bawait import\("([^"]+)"\)',
            text,
            re.MULTILINE,
        ):
            target = next(filter(None, name))
            assert target.startswith("."), (
                f"{path.name} imports {target!r}: a browser cannot find it without an import map"
            )
            assert (path.parent / target).is_file(), f"{path.name} imports {target!r}"


def test_the_vendored_files_are_those_in_the_list() -> None:
    rows = re.findall(
        r"^\| `(\S+)` \|.*\| `([0-9a-f]{64})` \|$",
        (VENDOR / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    listed = dict(rows)
    assert set(listed) == {path.name for path in VENDOR.iterdir() if path.suffix in {".js", ".css"}}
    for name, digest in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, (
            f"{name} is not what its list says: run `npm run vendor` in tools/page"
        )


def test_the_lock_file_names_no_address() -> None:
    lock = json.loads((TOOLS / "package-lock.json").read_text(encoding="utf-8"))
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
