"""Tests of the page's files without a browser: a strict Content-Security-Policy allows them, and the vendored libraries
match their list."""

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hannun.domain.codes import UNATTRIBUTED, code, names_of
from hannun.domain.terms import Language

ROOT = Path(__file__).parents[3]
STATIC = ROOT / "src/hannun/web/static"
VENDOR = STATIC / "vendor"
TOOLS = ROOT / "tools/page"


class TagParser(HTMLParser):
    """Collects all tags of a document with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags_of(page: str = "index.html") -> list[tuple[str, dict[str, str | None]]]:
    parser = TagParser()
    parser.feed((STATIC / page).read_text(encoding="utf-8"))
    return parser.tags


def own_modules() -> set[str]:
    """URLs of the page's modules without vendored ones."""
    return {
        "/static/" + path.relative_to(STATIC).as_posix()
        for path in STATIC.rglob("*.js")
        # api-types.js has no code, and docs.js belongs to another page
        if VENDOR not in path.parents and path.name not in ("api-types.js", "docs.js")
    }


@pytest.mark.parametrize("page", ["index.html", "docs.html"])
def test_the_document_has_no_inline_script_or_style(page: str) -> None:
    for tag, attributes in tags_of(page):
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert not {name for name in attributes if name == "style" or name.startswith("on")}


@pytest.mark.parametrize("page", ["index.html", "docs.html"])
def test_every_url_in_the_document_is_a_local_file(page: str) -> None:
    for _, attributes in tags_of(page):
        address = attributes.get("href") or attributes.get("src")
        if address and address != "/openapi.json":
            assert address.startswith("/static/")
            assert (STATIC / address.removeprefix("/static/")).is_file(), address


def test_every_module_is_preloaded() -> None:
    referenced = {attributes.get("href") or attributes.get("src") for _, attributes in tags_of()}
    assert own_modules() - referenced == set()


def test_modules_import_only_existing_local_files() -> None:
    for path in STATIC.rglob("*.js"):
        if path.name == "swagger-ui.js":
            continue  # a classic script, not a module
        text = path.read_text(encoding="utf-8")
        for name in re.findall(
            r'^import\b[^"]*"([^"]+)"|\bfrom ?"([^"]+)"|\bawait import\("([^"]+)"\)',
            text,
            re.MULTILINE,
        ):
            target = next(filter(None, name))
            assert target.startswith("."), (
                f"{path.name} imports {target!r}, which needs an import map: use a relative path"
            )
            assert (path.parent / target).is_file(), f"{path.name} imports {target!r}, which does not exist"


def test_no_module_keeps_a_node_in_a_constant() -> None:
    """Such a node would keep the parent under which it was first rendered: `html.js` says more."""
    for path in STATIC.rglob("*.js"):
        if VENDOR not in path.parents:
            found = re.findall(
                r"^(?:(?:export )?const \w+ = html`|  \w+: html`).*", path.read_text("utf-8"), re.MULTILINE
            )
            assert found == [], path.name


def test_the_vendored_files_match_their_list() -> None:
    rows = re.findall(
        r"^\| `(\S+)` \|.*\| `([0-9a-f]{64})` \|$",
        (VENDOR / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    listed = dict(rows)
    assert set(listed) == {path.name for path in VENDOR.iterdir() if path.suffix in {".js", ".css"}}
    for name, digest in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, (
            f"{name} differs from the sha256 in vendor/README.md: run `npm run vendor` in tools/page"
        )


def test_the_lock_file_contains_no_registry_url() -> None:
    lock = json.loads((TOOLS / "package-lock.json").read_text(encoding="utf-8"))
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []


def page_texts(language: str, group: str) -> dict[str, str]:
    """The texts of a group in `translations.js`, by their keys."""
    source = (STATIC / "translations.js").read_text(encoding="utf-8")
    of_language = source[source.index(f"const {language} = {{") :]
    found = re.search(rf"\b{group}: (?:/\*\*.*?\*/ \()?\{{(.*?)\}}", of_language, re.DOTALL)
    assert found is not None, f"translations.js has no group {group}"
    return dict(re.findall(r'(\w+): "([^"]*)"', found[1]))


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize(("path", "group"), [("kind", "kind"), ("state", "states"), ("channelType", "types")])
def test_the_page_and_the_files_name_a_code_alike(language: Language, path: str, group: str) -> None:
    names = names_of(path) or {}
    of_files = {value: code(value, names).name(language).casefold() for value in names}
    assert {value: text.casefold() for value, text in page_texts(language, group).items()} == of_files


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_page_and_the_files_name_alike_what_is_not_known(language: Language) -> None:
    source = (STATIC / "translations.js").read_text(encoding="utf-8")
    not_kept = code("not-kept", names_of("reason") or {})
    assert f'unattributed: "{UNATTRIBUTED.name(language)}"' in source
    assert f'notKept: "{not_kept.name(language)}"' in source
