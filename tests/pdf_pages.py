"""Reads back the PDFs that Typst writes: their pages, their text and their fonts. For no other PDF."""

import re
import zlib
from typing import NamedTuple

_STREAM = re.compile(rb"(\d+) 0 obj\s*<<(.*?)>>\s*stream\r?\n", re.DOTALL)
_TOKEN = re.compile(rb"/(f\d+) [\d.]+ Tf|(\()|(ET\b)|(?<=[\[\d])<([0-9A-F]+)>")
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


class Pdf(NamedTuple):
    """A PDF as it was read. `text` has a line for each run of text, in the order of the page."""

    pages: int
    text: str
    fonts: set[str]


def read_pdf(pdf: bytes) -> Pdf:
    streams = {int(found[1]): _unpacked(pdf, found) for found in _STREAM.finditer(pdf)}
    used = re.search(rb"/Font<<(.*?)>>", pdf)
    assert used is not None
    names: dict[bytes, dict[int, str]] = {}
    for name, number in re.findall(rb"/(f\d+) (\d+) 0 R", used[1]):
        font = re.search(rb"\n%s 0 obj.*?/ToUnicode (\d+) 0 R" % number, pdf, re.DOTALL)
        assert font is not None
        names[name] = _characters(streams[int(font[1])])
    contents = re.search(rb"/Type/Page/.*?/Contents (\d+) 0 R", pdf, re.DOTALL)
    assert contents is not None
    fonts = {name.decode() for name in re.findall(rb"/FontName/\w+\+([\w-]+)", pdf)}
    return Pdf(len(re.findall(rb"/Type/Page\b", pdf)), _text(streams[int(contents[1])], names), fonts)


def _unpacked(pdf: bytes, found: re.Match[bytes]) -> bytes:
    length = re.search(rb"/Length (\d+)", found[2])
    assert length is not None
    body = pdf[found.end() : found.end() + int(length[1])]
    return zlib.decompress(body) if b"FlateDecode" in found[2] else body


def _characters(cmap: bytes) -> dict[int, str]:
    """The characters by the number of their glyph."""
    pairs = re.findall(rb"<([0-9A-F]{4})> <([0-9A-F]+)>", cmap)
    return {int(glyph, 16): bytes.fromhex(text.decode()).decode("utf-16-be") for glyph, text in pairs}


def _text(content: bytes, fonts: dict[bytes, dict[int, str]]) -> str:
    lines, font, at = [""], {}, 0
    while (found := _TOKEN.search(content, at)) is not None:
        at = found.end()
        if found[1]:
            font = fonts[found[1]]
        elif found[3]:
            lines.append("")
        else:
            shown, at = (bytes.fromhex(found[4].decode()), at) if found[4] else _string(content, at)
            if font:
                lines[-1] += "".join(font[high << 8 | low] for high, low in zip(shown[::2], shown[1::2], strict=True))
    return "\n".join(filter(None, lines))


def _string(content: bytes, start: int) -> tuple[bytes, int]:
    """A string in parentheses, which may hold balanced ones, and where it ends."""
    at, depth = start, 1
    while depth:
        sign = content[at : at + 1]
        depth += (sign == b"(") - (sign == b")")
        at += 2 if sign == b"\\" else 1
    return re.sub(rb"\\([0-7]{3}|.)", _unescaped, content[start : at - 1], flags=re.DOTALL), at


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes([int(code, 8)]) if len(code) == 3 else _ESCAPES.get(code, code)
