"""Links the page's modules: writes one file of all modules that an entry module imports, so that a browser makes one
request instead of sixty.

    static/app.js ──import──► state.js ──import──► vendor/signals.js     the sources: native modules, served as such
            └──link──►  linked/app.js:  const $vendor_signals = (() => { ... return { signal }; })();
                                        const $state = (() => { const { signal } = $vendor_signals; ... })();

Each module becomes a function scope of its own, in the order of the imports. A module that is imported dynamically
(`import("./views/sign-in.js")`) becomes a linked file of its own, with the modules that only it needs; it takes the
others from the file of the entry module, so that each module runs once. A source map leads back to the sources.

The subset of module syntax (decision 0024). Whatever else begins with `import` or `export` is an error:

    import { a, b as c } from "./x.js";         import a from "./x.js";         import "./x.js";
    export { a, b as c } from "./x.js";         these stand before all other statements
    export const a = ...  function  async function  class
    export default a;    export { a, b as c };  the last statement

No cycles, no `import.meta`, no `await` outside of functions. Comments that begin with two stars, and lines that are
comments as a whole, are left out: so no line of a template may look like one.
"""

import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

LINKED = "linked/"
"""The folder of linked files. A document that names `linked/app.js` has `app.js` linked."""

_NOTHING = r"(?:\s|/\*.*?\*/|//[^\n]*\n)*"
_HEAD = re.compile(
    _NOTHING + r'(?:import\s*(?:(?P<default>[\w$]+)|\{(?P<names>[^}]*)\})\s*from\s*"(?P<source>[^"]+)";?'
    r'|import\s*"(?P<bare>[^"]+)";?'
    r'|export\s*\{(?P<again>[^}]*)\}\s*from\s*"(?P<from>[^"]+)";?)',
    re.DOTALL,
)
_TAIL = re.compile(r"export\s*\{([^{}]*)\}\s*;?\s*\Z")
_DEFAULT = re.compile(r"(^|;)export default ", re.MULTILINE)
_DECLARATION = re.compile(r"^export (?=(?:const|class|function\*?|async function\*?) ([\w$]+))", re.MULTILINE)
_DYNAMIC_IMPORT = re.compile(r'\bimport\("([^"]+)"\)')
_DOC_COMMENT = re.compile(r"/\*\*.*?\*/", re.DOTALL)
_LINE_COMMENT = re.compile(r"^[ \t]*//[^\n]*", re.MULTILINE)
_OUTSIDE = (
    (re.compile(r"(?:^|;)(?:import\b(?!\()|export\b)", re.MULTILINE), "an import or export outside of the subset"),
    (re.compile(r"\bimport\s*\.\s*meta\b"), "import.meta, whose address would be that of the linked file"),
    (
        re.compile(r"^(?:await|for await|(?:const|let|var) [^=\n]*= await)\b", re.MULTILINE),
        "await outside of a function",
    ),
    (re.compile(r'\bimport\((?!")'), "a dynamic import whose address is no constant"),
)
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


class LinkError(ValueError):
    """A module that cannot be linked. The message names its file and line."""


def linked_files(sources: Mapping[str, bytes], entries: Iterable[str]) -> dict[str, bytes]:
    """The linked files of these entry modules with their source maps, by their names.

    Raises:
        LinkError: a module has a statement outside of the subset, or imports what does not exist.
    """
    return {name: body for entry in entries for name, body in _Linking(sources, entry).files()}


@dataclass(frozen=True, slots=True)
class _Import:
    """An import of a module: pairs of a name that the other module exports, and the local name."""

    module: str
    names: list[tuple[str, str]]


class _Module:
    """A source in parts: imports, exports, and the body between them, whose lines keep their numbers."""

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.imports: list[_Import] = []
        self.exports: dict[str, str] = {}
        """Local names by exported names."""
        self._source = source
        rest = self._without_tail(self._without_head(source))
        # a vendored file of one line has its licence in a comment, and no comment with types
        self.body = _LINE_COMMENT.sub("", _DOC_COMMENT.sub(_only_line_breaks, rest))
        for pattern, what in _OUTSIDE:
            if found := pattern.search(self.body):
                line = self.body.count("\n", 0, found.end()) + 1
                raise LinkError(f"{name}, line {line}: {what}")

    @property
    def variable(self) -> str:
        """The variable with its exports in a linked file."""
        return "$" + re.sub(r"\W", "_", self.name.removesuffix(".js"))

    @cached_property
    def dynamic_imports(self) -> list[str]:
        return [_resolve(self.name, address) for address in _DYNAMIC_IMPORT.findall(self.body)]

    def _without_head(self, source: str) -> str:
        """Read the imports. Returns the source with their lines empty."""
        end = 0
        while found := _HEAD.match(source, end):
            end = found.end()
            again = found["again"]
            if again is not None:
                names = _names(again)
                # a local name that no module has: it is only passed on
                passed_on = [(name, f"$again_{name}") for name in dict.fromkeys(inner for inner, _ in names)]
                self.imports.append(_Import(_resolve(self.name, found["from"]), passed_on))
                self.exports |= {outer: f"$again_{inner}" for inner, outer in names}
            else:
                names = [("default", found["default"])] if found["default"] else _names(found["names"] or "")
                self.imports.append(_Import(_resolve(self.name, found["source"] or found["bare"]), names))
        return _only_line_breaks(source[:end]) + source[end:]

    def _without_tail(self, source: str) -> str:
        if found := _TAIL.search(source):
            self.exports |= {outer: inner for inner, outer in _names(found[1])}
            source = source[: found.start()]
        if _DEFAULT.search(source):
            self.exports["default"] = "$default"
            source = _DEFAULT.sub(r"\1const $default = ", source, count=1)
        self.exports |= {name: name for name in _DECLARATION.findall(source)}
        return _DECLARATION.sub("", source)

    def scope(self, variables: Mapping[str, str]) -> Iterator[tuple[str, int | None]]:
        """The lines of a function scope with this module, each with the number of its line in the source, from 0."""
        yield f"// {self.name}", None
        yield f"const {self.variable} = (() => {{", None
        for each in self.imports:
            if each.names:
                yield f"const {{ {_renamed(each.names)} }} = {variables[each.module]};", None
        originals = self._source.split("\n")
        for number, line in enumerate(self.body.split("\n")):
            if line.strip() or not originals[number].strip():  # a line that was a comment is left out
                yield line, number
        yield f"return {{ {_renamed(self.exports.items())} }};", None
        yield "})();", None


class _Linking:
    """The linking of one entry module."""

    def __init__(self, sources: Mapping[str, bytes], entry: str) -> None:
        self._sources = sources
        self._modules: dict[str, _Module] = {}
        self._entry = entry
        everywhere = self._closure(entry)
        dynamic = self._dynamic_entries(everywhere)
        own = {name: [each for each in self._closure(name) if each not in everywhere] for name in dynamic}
        uses = Counter(name for names in own.values() for name in names)
        shared = [name for name, files in uses.items() if files > 1]
        self._parts = {entry: everywhere + shared}
        self._parts |= {name: [each for each in own[name] if each not in shared] for name in dynamic}

    def files(self) -> Iterator[tuple[str, bytes]]:
        for name in self._parts:
            lines = list(self._lines(name))
            address = LINKED + name
            text = "\n".join(line for line, _, _ in lines)
            yield address, f"{text}\n//# sourceMappingURL={posixpath.basename(name)}.map\n".encode()
            yield f"{address}.map", _source_map(address, [(source, line) for _, source, line in lines])

    def _lines(self, part: str) -> Iterator[tuple[str, str, int | None]]:
        """The lines of a linked file, each with its source and its line there."""
        names = self._parts[part]
        variables = {name: self._module(name).variable for every in self._parts.values() for name in every}
        taken = sorted(self._taken_by(part))
        if taken:
            yield f'import {{ {", ".join(taken)} }} from "{_relative(part, self._entry)}";', part, None
        for name in names:
            for line, number in self._module(name).scope(variables):
                yield self._with_linked_addresses(name, part, line), name, number
        if part == self._entry:
            given = sorted({name for each in self._parts if each != part for name in self._taken_by(each)})
            if given:
                yield f"export {{ {', '.join(given)} }};", part, None
        else:
            exports = self._module(part).exports
            for index, name in enumerate(exports):
                yield f"const $export_{index} = {variables[part]}.{name};", part, None
            yield f"export {{ {', '.join(f'$export_{i} as {name}' for i, name in enumerate(exports))} }};", part, None

    def _taken_by(self, part: str) -> set[str]:
        """The variables that a dynamically imported file takes from the file of the entry."""
        if part == self._entry:
            return set()
        names = self._parts[part]
        needed = {each.module for name in names for each in self._module(name).imports if each.names} | {part}
        return {self._module(name).variable for name in needed if name not in names}

    def _with_linked_addresses(self, name: str, part: str, line: str) -> str:
        return _DYNAMIC_IMPORT.sub(lambda found: f'import("{_relative(part, _resolve(name, found[1]))}")', line)

    def _dynamic_entries(self, everywhere: list[str]) -> list[str]:
        """All modules that are imported dynamically, also by one that is itself."""
        found: dict[str, None] = {}
        waiting = list(everywhere)
        while waiting:
            importer = waiting.pop(0)
            for name in self._module(importer).dynamic_imports:
                if name in everywhere:
                    raise LinkError(f"{importer}: imports {name} dynamically, which {self._entry} needs anyway")
                if name not in found:
                    found[name] = None
                    waiting += self._closure(name)
        return list(found)

    def _closure(self, entry: str) -> list[str]:
        """A module and those that it imports statically, each behind those that it imports itself."""
        done: dict[str, bool] = {}

        def visit(name: str, importers: tuple[str, ...]) -> None:
            if name in importers:
                raise LinkError(f"{importers[-1]}: a cycle of imports: {' -> '.join((*importers, name))}")
            if name not in done:
                for each in self._module(name, importers[-1:]).imports:
                    visit(each.module, (*importers, name))
                done[name] = True

        visit(entry, ())
        return list(done)

    def _module(self, name: str, importers: tuple[str, ...] = ()) -> _Module:
        if name not in self._modules:
            source = self._sources.get(name)
            if source is None:
                raise LinkError(f"{importers[0] if importers else self._entry}: imports {name}, which does not exist")
            self._modules[name] = _Module(name, source.decode())
        return self._modules[name]


def _names(text: str) -> list[tuple[str, str]]:
    """The pairs of `a, b as c`: (a, a) and (b, c)."""
    parts = [part.split(" as ") for part in re.sub(r"\s+", " ", text).split(",") if part.strip()]
    return [(part[0].strip(), part[-1].strip()) for part in parts]


def _renamed(names: Iterable[tuple[str, str]]) -> str:
    """Names as an object or a pattern has them: (a, a) and (b, c) are `a, b: c`."""
    return ", ".join(outer if outer == inner else f"{outer}: {inner}" for outer, inner in names)


def _only_line_breaks(text: "str | re.Match[str]") -> str:
    return "\n" * (text if isinstance(text, str) else text[0]).count("\n")


def _resolve(importer: str, address: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(importer), address))


def _relative(importer: str, name: str) -> str:
    path = posixpath.relpath(name, posixpath.dirname(importer) or ".")
    return path if path.startswith(".") else f"./{path}"


def _source_map(name: str, lines: list[tuple[str, int | None]]) -> bytes:
    """A source map that leads each line to the line of its source (ECMA-426). Sources are served beside it."""
    sources: dict[str, int] = {}
    mappings, last_source, last_line = [], 0, 0
    for source, line in lines:
        if line is None:
            mappings.append("")
            continue
        index = sources.setdefault(source, len(sources))
        mappings.append(_vlq(0) + _vlq(index - last_source) + _vlq(line - last_line) + _vlq(0))
        last_source, last_line = index, line
    addresses = [posixpath.relpath(source, posixpath.dirname(name)) for source in sources]
    return json.dumps({"version": 3, "sources": addresses, "mappings": ";".join(mappings)}).encode()


def _vlq(number: int) -> str:
    """A number as source maps write it: the sign in the lowest bit, five bits a character, the lowest ones first."""
    rest, text = (abs(number) << 1) | (number < 0), ""
    while True:
        rest, digit = rest >> 5, rest & 31
        text += _BASE64[digit | (32 if rest else 0)]
        if not rest:
            return text
