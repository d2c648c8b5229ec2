"""Linking of the page's modules: what it makes does what the native modules do, and what it cannot link is an error."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from browsing import Browser
from playwright.sync_api import Route

from hannun.web.linked_modules import LinkError, linked_files
from hannun.web.static_files import FOLDER, static_files

SOURCES = {
    "app.js": """\
/** The entry. */
import { increase, total as sum } from "./counter.js";
import name from "./name.js";
import {
  Box,
  later,
} from "./parts/box.js";
// Only for its effect.
import "./effect.js";

const first = increase();
export async function load() {
  const [one, other] = await Promise.all([import("./parts/one.js"), import("./parts/other.js")]);
  return [name(), first, new Box(7).value, later(), window.effect, one.one(), other.other, typeof other.default, sum()];
}
window.result = load();
""",
    "counter.js": 'import{a,again as c,a as d}from"./one-line.js";let n=a+c-d;const i=()=>n+=1;function t(){return n}'
    "export{i as increase,t as total};",
    "one-line.js": "const b=41;export{b as a,b as again};",
    "name.js": 'var x="the name";export default function(){return x}',
    "parts/box.js": """\
export { increase as later } from "../counter.js";
/** A box. */
export class Box {
  constructor(/** @type {number} */ value) {
    this.value = `${value}

      lines`; // of which the second one is empty
  }
}
""",
    "effect.js": "window.effect = (window.effect ?? 0) + 1;\n",
    "parts/one.js": 'import { runs } from "./of-both.js";\nexport const one = () => runs.push("one");\n',
    "parts/other.js": """\
import { runs } from "./of-both.js";
import { Box } from "./box.js";
export const other = runs === window.runs && new Box(8).value;
export default class {}
""",
    "parts/of-both.js": "export const runs = (window.runs = []);\nruns.push('made');\n",
}


def as_bytes(sources: dict[str, str]) -> dict[str, bytes]:
    return {name: source.encode() for name, source in sources.items()}


@pytest.mark.browser
def test_linked_modules_do_what_the_native_ones_do(browser: Browser) -> None:
    files = as_bytes(SOURCES) | linked_files(as_bytes(SOURCES), ["app.js"])

    def result_of(entry: str) -> Any:
        page = browser.new_page()
        requested = []

        def answer(route: Route) -> None:
            name = route.request.url.removeprefix("https://page.test/")
            requested.append(name)
            if name == "":
                route.fulfill(content_type="text/html", body=f'<script type="module" src="/{entry}"></script>')
            else:
                route.fulfill(content_type="text/javascript", body=files[name])

        page.route("https://page.test/**", answer)
        page.goto("https://page.test/")
        return page.evaluate("window.result"), page.evaluate("window.runs"), sorted(requested)

    *native, names = result_of("app.js")
    *linked, linked_names = result_of("linked/app.js")
    assert native == [
        ["the name", 42, "7\n\n      lines", 43, 1, 2, "8\n\n      lines", "function", 43],
        ["made", "one"],
    ]
    assert linked == native
    assert names == ["", *sorted(SOURCES)]
    assert linked_names == ["", "linked/app.js", "linked/parts/one.js", "linked/parts/other.js"]
    assert browser.console == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('import * as all from "./a.js";', "app.js, line 3: an import or export outside of the subset"),
        ('let a = 1;\nimport { b } from "./b.js";', "app.js, line 4: an import or export outside of the subset"),
        ("export let a = 1;", "app.js, line 3: an import or export outside of the subset"),
        ('export * from "./a.js";', "app.js, line 3: an import or export outside of the subset"),
        ("export const { a } = window;", "app.js, line 3: an import or export outside of the subset"),
        (
            "const here = import.meta.url;",
            "app.js, line 3: import.meta, whose address would be that of the linked file",
        ),
        ("const a = await load();", "app.js, line 3: await outside of a function"),
        ("await load();", "app.js, line 3: await outside of a function"),
        ("load(import(name));", "app.js, line 3: a dynamic import whose address is no constant"),
        ('import { a } from "./none.js";', "app.js: imports none.js, which does not exist"),
        ('import { a } from "./cycle.js";', "cycle.js: a cycle of imports: app.js -> cycle.js -> app.js"),
        ('import "./a.js";\nimport("./a.js");', "app.js: imports a.js dynamically, which app.js needs anyway"),
    ],
)
def test_what_cannot_be_linked_is_an_error_that_names_file_and_line(line: str, message: str) -> None:
    sources = {"app.js": f"/** The entry. */\n\n{line}\n", "a.js": "", "cycle.js": 'import { b } from "./app.js";\n'}
    with pytest.raises(LinkError, match=f"^{re.escape(message)}$"):
        linked_files(as_bytes(sources), ["app.js"])


def test_a_stack_trace_leads_to_the_source() -> None:
    """Each line of the linked files is that of a source, says the source map."""
    checked = 0
    for name in ("linked/app.js", "linked/views/operations.js"):
        lines = static_files().file(name).body.decode().split("\n")
        source_map = json.loads(static_files().file(f"{name}.map").body)
        for line, (source, number) in mapped_lines(source_map["mappings"]).items():
            original = (FOLDER / Path(name).parent / source_map["sources"][source]).resolve()
            text = original.read_text("utf-8").split("\n")[number]
            words = re.findall(r"\w+", lines[line])
            assert set(words) <= {*re.findall(r"\w+", text), "const", "default"}, (name, line, original.name, number)
            checked += 1
    assert checked > 1_000


def mapped_lines(mappings: str) -> dict[int, tuple[int, int]]:
    """The (source, line) of each line of a file, decoded from its source map."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    found, source, source_line = {}, 0, 0
    for line, segment in enumerate(mappings.split(";")):
        numbers, value, shift = [], 0, 0
        for digit in map(letters.index, segment):
            value |= (digit & 31) << shift
            shift += 5
            if digit < 32:
                numbers.append(-(value >> 1) if value & 1 else value >> 1)
                value, shift = 0, 0
        if numbers:
            source, source_line = source + numbers[1], source_line + numbers[2]
            found[line] = (source, source_line)
    return found
