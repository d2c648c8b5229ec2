"""Tests of the page's files without a browser: a strict Content-Security-Policy allows them, and the vendored libraries
match their list."""

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hannun.domain.codes import UNATTRIBUTED, code, names_of
from hannun.domain.facts import Reason
from hannun.domain.terms import Language, term
from hannun.flows.doctor.registry import CHECKS
from hannun.web.logo import CLOSED_LOGO, LOGO
from hannun.web.static_files import static_files

ROOT = Path(__file__).parents[3]
STATIC = ROOT / "src/hannun/web/static"
VENDOR = STATIC / "vendor"
TOOLS = ROOT / "tools/page"
OF_TILES = {
    "participants": "summary.totalParticipants",
    "views": "summary.totalViews",
    "participationRate": "summary.participationRate",
    "conversions": "summary.totalConversions",
    "conversionRate": "summary.conversionRate",
    "costPerParticipant": "roi.costPerParticipant",
    "breakEven": "roi.breakEvenParticipants",
    "investment": "roi.investment.total",
    "revenue": "roi.revenue.total",
    "roi": "roi.currentRoi",
}
"""The figure that a tile shows, by the key of the tile's name."""
OF_COLUMNS = {"name": "channelName"}
"""The figure of a column, where the key of the column's name is another."""


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
            name = address.removeprefix("/static/")
            assert static_files().file(name), address
            assert (STATIC / name.removeprefix("linked/")).is_file(), address


def test_the_style_sheet_is_made_of_every_file_of_styles_and_served_as_one() -> None:
    imported = re.findall(r'@import url\("styles/([^"]+)"\);', (STATIC / "app.css").read_text(encoding="utf-8"))
    assert sorted(imported) == sorted(path.name for path in (STATIC / "styles").iterdir())
    served = static_files().file("app.css").body.decode()
    assert "@import" not in served
    assert all((STATIC / "styles" / name).read_text(encoding="utf-8") in served for name in imported)


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


def page_texts_source(language: str) -> str:
    """The source of all texts of a language."""
    files = [path.read_text(encoding="utf-8") for path in sorted((STATIC / "texts").glob("*.js"))]
    return "\n".join(
        text[text.index(f"const {language} = {{") : text.index("\n};", text.index(f"const {language} = {{"))]
        for text in files
        if f"const {language} = {{" in text
    )


def page_texts(language: str, group: str) -> dict[str, str]:
    """The texts of a group in `texts/`, by their keys."""
    found = re.search(rf"\b{group}: (?:/\*\*.*?\*/ \()?\{{(.*?)\}}", page_texts_source(language), re.DOTALL)
    assert found is not None, f"texts/ has no group {group}"
    return dict(re.findall(r'(\w+): "([^"]*)"', found[1]))


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize(("path", "group"), [("kind", "kind"), ("state", "states"), ("channelType", "types")])
def test_the_page_and_the_files_name_a_code_alike(language: Language, path: str, group: str) -> None:
    names = names_of(path) or {}
    of_files = {value: code(value, names).name(language).casefold() for value in names}
    assert {value: text.casefold() for value, text in page_texts(language, group).items()} == of_files


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_page_and_the_files_name_alike_what_is_not_known(language: Language) -> None:
    source = page_texts_source(language)
    not_kept = code("not-kept", names_of("reason") or {})
    assert f'unattributed: "{UNATTRIBUTED.name(language)}"' in source
    assert f'notKept: "{not_kept.name(language)}"' in source


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_page_and_the_files_name_a_figure_alike(language: Language) -> None:
    source = page_texts_source(language)
    names = dict(
        re.findall(r'"((?:summary|roi|channel)\.[\w.]+)": "(.+)"', source[source.index("    names: {") :])[::-1]
    )
    assert {"summary.totalParticipants", "roi.investment.total", "channel.distributionCost"} <= names.keys()
    of_files = {path: term(path.removeprefix("channel.")).name(language) for path in names}
    assert names == of_files


@pytest.mark.parametrize("language", ["ko", "en"])
def test_tiles_and_columns_of_the_page_have_the_names_of_the_files(language: Language) -> None:
    tiles = {key: name for key, name in page_texts(language, "tile").items() if key in OF_TILES}
    assert tiles == {key: term(path).name(language) for key, path in OF_TILES.items()}
    columns = page_texts(language, "columns")
    assert columns.pop("distributionCost") == term("distributionCost").name(language)
    for key, name in columns.items():  # where there is little room, the beginning of the name
        assert term(OF_COLUMNS.get(key, key)).name(language).startswith(name) or name == "Per person", key


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_page_has_a_name_for_each_check_of_the_doctor_and_each_reason_of_a_dead_letter(language: str) -> None:
    source = page_texts_source(language)
    assert [check for check in CHECKS if not re.search(rf'["\s]{check}"?: "', source)] == []
    assert [reason for reason in Reason if not re.search(rf'"{reason}": "', source)] == []


@pytest.mark.parametrize("logo", [LOGO, CLOSED_LOGO])
def test_the_logo_is_the_same_with_and_without_scripts(logo: str) -> None:
    drawn = (STATIC / "components/logo.js").read_text(encoding="utf-8")
    opening, shape = re.fullmatch("(<svg.*?>)(.*)</svg>", logo).groups()  # type: ignore[union-attr]
    assert opening in drawn and f"html`{shape}`" in drawn
